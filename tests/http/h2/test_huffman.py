"""Huffman strings: hpack's encoder and decoder are the oracle; jh2 is held to the calls that we make."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

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


def refused(text: bytes, decode: Callable[[bytes], bytes] = decode_huffman) -> bool:
    try:
        decode(text)
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


@BOUNDED
@given(st.binary(max_size=40))
def test_the_way_without_jh2_decodes_the_same(text: bytes) -> None:
    decode = huffman._load_hpack()
    assert decode(encode(text)) == text
    assert refused(text) or decode(text) == decode_huffman(text)


def test_the_way_without_jh2_refuses_the_same() -> None:
    assert refused(b"\xff\xff\xff\xff", huffman._load_hpack())


def test_without_jh2_hpack_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jh2._hazmat", None)
    assert huffman._load()(encode(b"a")) == b"a"


def test_without_jh2_the_module_loads_with_hpack() -> None:
    program = (
        "import sys; sys.modules['jh2._hazmat'] = None\n"
        "from devtls.http.h2 import huffman\n"
        "assert huffman._decode.__qualname__.startswith('_load_hpack')\n"
        "assert huffman.decode_huffman(bytes.fromhex('f1e3c2e5f23a6ba0ab90f4ff')) == b'www.example.com'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# -- the contract with jh2 --------------------------------------------------------------------------------------------


def test_jh2_takes_the_calls_that_are_made() -> None:
    from jh2._hazmat import Decoder

    assert huffman._decode.__qualname__.startswith("_load.")
    decoder = Decoder(huffman._ROOM)
    text = encode(b"www.example.com")
    for _ in range(2):  # nothing is left behind in its table
        assert decoder.decode(b"\x10\x01a" + huffman._length(len(text)) + text, True) == [
            (b"a", b"www.example.com", True)
        ]


def test_a_truncated_literal_still_is_what_jh2_may_never_see(capfd: pytest.CaptureFixture[str]) -> None:
    from jh2._hazmat import Decoder

    with pytest.raises(BaseException, match="out of bounds"):
        Decoder(huffman._ROOM).decode(b"\x00", True)
    capfd.readouterr()  # a panic prints


class Panic(BaseException):
    """As pyo3's: none of Exception."""


def panicking_decoder(error: BaseException) -> type:
    class Decoder:
        made = 0

        def __init__(self, room: int) -> None:
            Decoder.made += 1

        def decode(self, block: bytes, raw: bool) -> list[object]:
            raise error

    return Decoder


@pytest.mark.parametrize("error", [Panic(), ValueError()])
def test_a_panic_ends_the_block_and_the_decoder(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    broken = panicking_decoder(error)
    monkeypatch.setattr("jh2._hazmat.Decoder", broken)
    assert refused(b"\x1f", huffman._load())
    assert vars(broken)["made"] == 2


def test_an_interrupt_is_not_a_panic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jh2._hazmat.Decoder", panicking_decoder(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        huffman._load()(b"\x1f")


@pytest.mark.parametrize("length", [1, 126, 127, 128, 254, 255, 256, 16384, 70_000])
def test_strings_of_every_length_reach_the_decoder(length: int) -> None:
    assert decode_huffman(encode(b"a" * length)) == b"a" * length
