"""Field compression for HTTP/2 (RFC 7541): blocks into entries that are already checked, field lists into blocks.

Owns the decoder's tables. Refuses, as COMPRESSION_ERROR, every block that another decoder could read differently or
that would desynchronise the tables: bad indices, integers and lengths that leave the block, a size update in its
middle, Huffman padding that is none.

Strategy. Reading: most fields of a request are one byte that points into a table, so an entry of our table is the
field *and* what is known of it (`FieldEntry`), checked once, when it is made; a usual block costs one list look-up for
each field. Huffman strings are `huffman`'s.
Writing: without a dynamic table. A field is written once and remembered as bytes; a block is a join. On loopback the
bytes that a table would save cost nothing, and the table would cost each response a microsecond and a state to lose.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from devtls.errors import LocalProtocolError
from devtls.http.events import Headers
from devtls.http.h2.fields import CONNECTION_SPECIFIC, FieldEntry, check_field
from devtls.http.h2.frames import ConnectionFault, ErrorCode
from devtls.http.h2.huffman import decode_huffman

TABLE_BYTES: Final = 4096
"""SETTINGS_HEADER_TABLE_SIZE as every connection starts with it; we ask for no other."""

STATIC_TABLE: Final[Headers] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
]
_FIRST_DYNAMIC = len(STATIC_TABLE) + 1
_MAX_RESIZES = 2  # RFC 7541 4.2: the smallest size since the last block, and the final one
_MAX_INTEGER_BYTES = 4  # RFC 7541 5.1 wants a limit; 2^28 is more than any block
_STATIC_ENTRIES: list[FieldEntry] = [check_field(name, value) for name, value in STATIC_TABLE]


class Block(NamedTuple):
    """A decoded field block; `bytes` as RFC 9113 6.5.2 counts them: names, values and 32 for each field."""

    entries: list[FieldEntry]
    size: int


class FieldDecoder:
    """Reads the blocks of one direction of one connection; `generation` changes when its table does."""

    __slots__ = ("_dynamic_bytes", "_max_bytes", "_table", "generation")

    def __init__(self) -> None:
        self._table: list[FieldEntry] = [_STATIC_ENTRIES[0], *_STATIC_ENTRIES]  # RFC 7541 2.3.3 counts from 1
        self._dynamic_bytes = 0
        self._max_bytes = TABLE_BYTES
        self.generation = 0

    def decode(self, block: bytes) -> Block:
        """Return the fields of a block. Raises ConnectionFault (COMPRESSION_ERROR): the tables are lost then."""
        entries: list[FieldEntry] = []
        append, table = entries.append, self._table
        size = position = 0
        end = len(block)
        try:
            # RFC 7541 4.2: at the beginning of a block only.
            if block and block[0] & 0xE0 == 0x20:
                position = self._resize(block)
            while position < end:
                first = block[position]
                position += 1
                if first > 0x80 and first != 0xFF:  # an index below 127: nearly all fields
                    entry = table[first & 0x7F]
                elif first >= 0x80:
                    entry, position = self._indexed(block, position, first)
                else:
                    entry, position = self._literal(block, position, first)
                append(entry)
                size += entry.size
        except IndexError:
            raise _broken("a field block points outside its tables or ends in the middle of a field") from None
        return Block(entries, size)

    def _indexed(self, block: bytes, position: int, first: int) -> tuple[FieldEntry, int]:
        if first == 0x80:  # RFC 7541 6.1
            raise _broken("a field block has the index 0")
        index, position = _integer(block, position, 0x7F)
        return self._table[index], position

    def _literal(self, block: bytes, position: int, first: int) -> tuple[FieldEntry, int]:
        indexing = first & 0x40
        if not indexing and first & 0x20:
            raise _broken("a field block changes the table's size in its middle")
        prefix = 0x3F if indexing else 0x0F
        index = first & prefix
        if index == prefix:
            index, position = _integer(block, position, prefix)
        if index:
            name = self._table[index].field[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        entry = check_field(name, value)
        if indexing:
            self._add(entry)
        return entry, position

    def _add(self, entry: FieldEntry) -> None:
        self.generation += 1
        self._dynamic_bytes += entry.size
        self._table.insert(_FIRST_DYNAMIC, entry)
        self._evict()  # an entry larger than the table empties it, itself included (RFC 7541 4.4)

    def _evict(self) -> None:
        table = self._table
        while self._dynamic_bytes > self._max_bytes:
            self._dynamic_bytes -= table.pop().size

    def _resize(self, block: bytes) -> int:
        position = resizes = 0
        while position < len(block) and block[position] & 0xE0 == 0x20:
            resizes += 1
            if resizes > _MAX_RESIZES:
                raise _broken("a field block changes the table's size more than twice")
            size = block[position] & 0x1F
            position += 1
            if size == 0x1F:
                size, position = _integer(block, position, 0x1F)
            if size > TABLE_BYTES:  # RFC 7541 6.3
                raise _broken("a field block wants a larger table than was offered")
            self._max_bytes = size
            self.generation += 1
            self._evict()
        return position


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """Return an integer that did not fit its prefix (RFC 7541 5.1), and where it ends."""
    number = prefix
    for shift in range(0, 7 * _MAX_INTEGER_BYTES, 7):
        byte = block[position]
        position += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise _broken("an integer in a field block is too large")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    first = block[position]
    length = first & 0x7F
    position += 1
    if length == 0x7F:
        length, position = _integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise _broken("a string leaves its field block")
    text = block[position:end]
    return (decode_huffman(text) if first & 0x80 else text), end


def _broken(reason: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"HPACK: {reason}.")


# -- writing ----------------------------------------------------------------------------------------------------------

EMPTY_TABLE: Final = b"\x20"
"""The dynamic table's size is 0 from here on: stands before the first block, and after the peer changed its setting."""

_INDEX_OF_PAIR = {pair: bytes((0x80 | index,)) for index, pair in enumerate(STATIC_TABLE, 1) if pair[1]}
_INDEX_OF_NAME: dict[bytes, int] = {}
for _index, (_name, _) in enumerate(STATIC_TABLE, 1):
    _INDEX_OF_NAME.setdefault(_name, _index)

_ENDS_A_LINE = re.compile(rb"[\r\n\0]")
_MAX_REMEMBERED = 1024  # fields of the whole process
_MAX_REMEMBERED_BYTES = 256
_written: dict[tuple[bytes, bytes], bytes] = {}


def encode_field(field: tuple[bytes, bytes]) -> bytes:
    """Return one field as it goes on the wire, its name in lower case; nothing for one of HTTP/1.1's connections.

    Raises LocalProtocolError when it holds a line end or NUL: behind the next hop it would be two fields.
    """
    known = _written.get(field)
    if known is None:
        known = _encode_field(field[0].lower(), field[1])
        if len(field[0]) + len(field[1]) <= _MAX_REMEMBERED_BYTES:
            if len(_written) >= _MAX_REMEMBERED:
                _written.clear()
            _written[field] = known
    return known


def _encode_field(name: bytes, value: bytes) -> bytes:
    if name in CONNECTION_SPECIFIC:
        return b""
    if _ENDS_A_LINE.search(name) or _ENDS_A_LINE.search(value):
        raise LocalProtocolError("A header field that was to be sent holds a line end or a NUL.")
    whole = _INDEX_OF_PAIR.get((name, value))
    if whole is not None:
        return whole
    index = _INDEX_OF_NAME.get(name)
    # Never indexed (RFC 7541 6.2.3): the peer's table stays empty, and what somebody held back from tables stays so.
    start = b"\x10" + _length(len(name)) + name if index is None else _prefixed(index, 0x0F, 0x10)
    return start + _length(len(value)) + value


def _length(number: int) -> bytes:
    return _prefixed(number, 0x7F)  # the high bit, Huffman, is 0


def _prefixed(number: int, prefix: int, pattern: int = 0) -> bytes:
    if number < prefix:
        return bytes((pattern | number,))
    encoded = bytearray((pattern | prefix,))
    number -= prefix
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
