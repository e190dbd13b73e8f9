"""Huffman strings: hpack's encoder and decoder are the oracle."""

from __future__ import annotations

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as decode_by_hpack
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devtls.http.h2 import huffman
from devtls.http.h2.frames import ConnectionFault, ErrorCode
from devtls.http.h2.huffman import decode_huffman
from tests.effort import examples

BOUNDED = settings(max_examples=examples(300), deadline=None, derandomize=True, database=None)
encode = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode
EOS_AND_MORE = "1" * 30


def bits(text: str) -> bytes:
    """Return bits as bytes, the last of which is whole."""
    assert len(text) % 8 == 0
    return int(text, 2).to_bytes(len(text) // 8)


def refused(text: bytes) -> bool:
    try:
        decode_huffman(text)
    except ConnectionFault as fault:
        assert fault.code is ErrorCode.COMPRESSION_ERROR
        return True
    return False


@BOUNDED
@given(st.binary(max_size=400))
def test_what_hpack_encodes_is_decoded(text: bytes) -> None:
    assert decode_huffman(encode(text)) == text


@settings(BOUNDED, max_examples=examples(1500))
@given(st.binary(max_size=12) | st.binary(min_size=250, max_size=270))
@example(b"\xff")
@example(b"\xff\xff\xff\xff")
def test_any_bytes_are_decoded_as_hpack_decodes_them(text: bytes) -> None:
    try:
        expected = decode_by_hpack(text)
    except HPACKDecodingError:
        assert refused(text)
        return
    assert decode_huffman(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",  # padding of a whole byte
        bits("00000" + "111" + "11111111"),  # "0", its padding, and a byte more
        bits("00000" + "110"),  # padding that does not begin as EOS does
        bits("00000" + "000"),
        bits("00000" + EOS_AND_MORE + "11111"),  # EOS itself
        bits(EOS_AND_MORE + "11"),
        bits(EOS_AND_MORE + "00000" + "11111"),  # EOS, then a "0"
        bits("11111111"),
    ],
)
def test_padding_that_is_none_is_refused(text: bytes) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        (b"", b""),
        (bits("00000" + "111"), b"0"),
        (bits("00000" * 8), b"0" * 8),
        (bits("11111000" + "00000" + "111"), b"&0"),
    ],
)
def test_padding_of_less_than_a_byte_is_taken(text: bytes, decoded: bytes) -> None:
    assert decode_huffman(text) == decoded


def test_long_strings_are_not_remembered() -> None:
    before = huffman._remembered.cache_info()
    text = encode(b"a" * 1000)
    assert decode_huffman(text) == decode_huffman(text) == b"a" * 1000
    assert huffman._remembered.cache_info() == before


def test_the_codes_are_those_of_the_rfc() -> None:
    """RFC 7541 appendix B, as hpack writes them down: the lengths in here are enough to build them."""
    for symbol in range(256):
        code = f"{REQUEST_CODES[symbol]:0{REQUEST_CODES_LENGTH[symbol]}b}"
        padding = "1" * (-len(code) % 8)
        assert decode_huffman(bits(code + padding)) == bytes((symbol,))
    assert bytes(REQUEST_CODES_LENGTH[:256]) == huffman._CODE_LENGTHS
    assert REQUEST_CODES_LENGTH[256] == huffman._EOS_BITS


def test_what_is_remembered_of_the_tree_is_bounded() -> None:
    """The code has 257 symbols, so its tree has 256 inner nodes; each knows of 256 bytes at most."""
    assert len(huffman._automaton().states) == 256
    assert all(len(state) <= 256 for state in huffman._automaton().states.values())


def test_a_byte_that_is_refused_is_not_remembered() -> None:
    eos = bits(EOS_AND_MORE + "11")
    for _ in range(2):
        assert refused(eos)


@pytest.mark.parametrize("length", [1, 126, 127, 128, 254, 255, 256, 16384, 70_000])
def test_strings_of_every_length_are_decoded(length: int) -> None:
    assert decode_huffman(encode(b"a" * length)) == b"a" * length
