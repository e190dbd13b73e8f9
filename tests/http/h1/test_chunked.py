"""The chunked decoder: how much it copies, and what extensions may cost."""

from __future__ import annotations

from devtls.http.events import Data, EndOfMessage
from devtls.http.h1.chunked import ChunkedDecoder
from devtls.http.h1.head import HeadLimits


def decoder() -> ChunkedDecoder:
    return ChunkedDecoder(1, HeadLimits())


def test_small_chunks_of_one_read_become_one_piece() -> None:
    events, rest = decoder().receive(b"1\r\na\r\n" * 100 + b"0\r\n\r\nnext")
    assert events == [Data(1, b"a" * 100), EndOfMessage(1)]
    assert rest == b"next"


def test_data_in_the_middle_of_a_chunk_is_passed_on_without_a_copy() -> None:
    chunks = decoder()
    chunks.receive(b"ffff\r\n")
    data = b"x" * 1000
    events, _ = chunks.receive(data)
    assert isinstance(events[0], Data)
    assert events[0].data is data


def test_what_stood_before_a_violation_is_told() -> None:
    chunks = decoder()
    events, rest = chunks.receive(b"3\r\nabc\r\nx\r\n")
    assert events == [Data(1, b"abc")]
    assert rest == b""
    assert chunks.violation is not None
    assert not chunks.complete


def test_extensions_may_not_outweigh_the_data() -> None:
    chunks = decoder()
    chunks.receive((b"1;" + b"x" * 1000 + b"\r\na\r\n") * 70)
    assert chunks.violation is not None


def test_extensions_on_large_chunks_may_go_on_forever() -> None:
    chunks = decoder()
    for _ in range(300):
        chunks.receive(b"400;" + b"x" * 1000 + b"\r\n" + b"y" * 1024 + b"\r\n")
    assert chunks.violation is None


def test_the_largest_size_is_sixteen_digits() -> None:
    chunks = decoder()
    events, _ = chunks.receive(b"ffffffffffffffff\r\nabc")
    assert events == [Data(1, b"abc")]
