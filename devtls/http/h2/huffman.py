"""Huffman strings of HPACK (RFC 7541 5.2), by jh2's compiled codec, or by hpack's where jh2 comes without it.

Owns the one place where jh2 is called: its `_hazmat` module is no promise to anybody, so the version is pinned, a test
holds it to what is used here, and whatever it might do wrong is caught. Its decoder panics with a BaseException on
truncated literals: it is given one literal at a time, made here, which is never truncated; should it panic all the
same, the block is refused like any that cannot be read. It also takes padding that RFC 7541 forbids: the length of the
decoded text tells.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from devtls.http.h2.frames import ConnectionFault, ErrorCode

_BITS: Final = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b080606060505050606060606"
    "060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e060f050605060506060605070706060605"
    "06070605050607070707070f0b0e0d1c141614141616161716171717171718171818161718171717171516171617171816151416161717151"
    "716161815161717151516151716171714161616171616171a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14"
    "181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
)
"""The length of each byte's code, in bits (RFC 7541 appendix B)."""
_MAX_REMEMBERED_BYTES = 256
_ROOM = 1 << 24  # of the codec's own limit on a list: ours is the length of a block


def _load() -> Callable[[bytes], bytes]:
    try:
        from jh2._hazmat import Decoder
    except ImportError:
        return _load_hpack()
    decoders = [Decoder(_ROOM)]

    def decode(text: bytes) -> bytes:
        # A literal that is never indexed (6.2.3): the codec's own table stays empty.
        literal = b"\x10\x01a" + _length(len(text)) + text
        try:
            ((_, decoded, _),) = decoders[0].decode(literal, True)
        except BaseException as error:  # a Rust panic is none of Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            decoders[0] = Decoder(_ROOM)
            raise _broken() from None
        return bytes(decoded)

    return decode


def _load_hpack() -> Callable[[bytes], bytes]:
    from hpack.exceptions import HPACKDecodingError
    from hpack.huffman_table import decode_huffman as decode_slowly

    def decode(text: bytes) -> bytes:
        try:
            return bytes(decode_slowly(text))
        except HPACKDecodingError:
            raise _broken() from None

    return decode


def _length(number: int) -> bytes:
    """Return the length of a Huffman string: 7 bits, then groups of 7 (RFC 7541 5.1, 5.2)."""
    if number < 0x7F:
        return bytes((0x80 | number,))
    encoded = bytearray((0xFF,))
    number -= 0x7F
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _broken() -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, "HPACK: a Huffman string cannot be read.")


_decode = _load()


def decode_huffman(text: bytes) -> bytes:
    """Return a decoded string. Raises ConnectionFault (COMPRESSION_ERROR)."""
    return _remembered(text) if len(text) <= _MAX_REMEMBERED_BYTES else _decode_strictly(text)


def _decode_strictly(text: bytes) -> bytes:
    if not text:
        return text
    decoded = _decode(text)
    padding = 8 * len(text) - sum(decoded.translate(_BITS))
    ones = (1 << padding) - 1 if 0 <= padding < 8 else -1
    if text[-1] & ones != ones:
        raise _broken()  # RFC 7541 5.2: a whole byte of padding, or padding that is not the start of EOS
    return decoded


_remembered = lru_cache(maxsize=512)(_decode_strictly)
