"""The client that takes nothing: whom it calls patient, and whom it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bench.conftest import H2ClientCodec
from tests.bench.load import LoadFailed, negotiates_h2
from tests.bench.stalled import SHUT, WIDE_OPEN, stalled_client


@pytest.mark.parametrize("window_bytes", [SHUT, WIDE_OPEN])
def test_all_streams_are_open_while_it_holds(h2_server: Callable[..., H2ClientCodec], window_bytes: int) -> None:
    server = h2_server()
    with stalled_client(server.port, server.root, "/large", window_bytes, streams=7):
        pass
    assert [head[b":path"] for head in server.heads] == [b"/large"] * 7


def test_another_answer_than_200_fails(h2_server: Callable[..., H2ClientCodec]) -> None:
    server = h2_server("429")
    with (
        pytest.raises(LoadFailed, match="429"),
        stalled_client(server.port, server.root, "/", WIDE_OPEN, streams=1),
    ):
        pass


def test_a_proxy_without_h2_fails(h2_server: Callable[..., H2ClientCodec]) -> None:
    server = h2_server(protocols=("http/1.1",))
    with pytest.raises(LoadFailed, match="not negotiate"), stalled_client(server.port, server.root, "/", SHUT):
        pass


@pytest.mark.parametrize("protocols", [("h2", "http/1.1"), ("http/1.1",)])
def test_the_bench_knows_who_negotiates_h2(h2_server: Callable[..., H2ClientCodec], protocols: tuple[str, ...]) -> None:
    server = h2_server(protocols=protocols)
    assert negotiates_h2(server.port, server.root) is ("h2" in protocols)
