"""Targets that are devtls itself."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from devtls.config import Config, DnsConfig, PacConfig, parse_route_argument
from devtls.daemon.listeners import BoundListeners
from devtls.daemon.own_targets import refuse_own_targets
from devtls.errors import ConfigError
from devtls.net.bind import bind
from tests.locks import free_port

Start = Callable[..., Awaitable[Any]]


@pytest.fixture
def bound() -> Any:
    listeners = BoundListeners(bind(0, ("127.0.0.1",)), bind(0, ("127.0.0.1",)), ())
    listeners.https.redirected_from = 443
    yield listeners
    listeners.close()


def refuse(target: str, bound: BoundListeners, pki_port: int = 1, **config: Any) -> None:
    route = parse_route_argument(f"app={target}", allow_remote=True)
    refuse_own_targets(Config(routes=(route,), **config), bound, pki_port)


@pytest.mark.parametrize("target", ["{}", "127.0.0.1:{}", "localhost:{}", "https://localhost:{}", "h2c://127.0.0.1:{}"])
def test_every_spelling_of_a_listener_is_refused(target: str, bound: BoundListeners) -> None:
    assert bound.http is not None
    for port, words in ((bound.https.port, "https"), (443, "https"), (bound.http.port, "the redirect to https")):
        with pytest.raises(ConfigError, match=f"app: the target is devtls itself, which has that port for {words}"):
            refuse(target.format(port), bound)


@pytest.mark.parametrize("target", ["127.0.0.2:{}", "[::1]:{}", "192.0.2.1:{}", "example.com:{}", "unix:/run/{}"])
def test_the_same_port_on_another_address_is_no_listener(target: str, bound: BoundListeners) -> None:
    refuse(target.format(bound.https.port), bound)


def test_the_auxiliary_listeners_are_refused(bound: BoundListeners) -> None:
    dns, pac, pki = free_port(), free_port(), free_port()
    config = {"dns": DnsConfig(port=dns), "pac": PacConfig(port=pac)}
    for port, words in ((dns, r"DNS \(\[dns\] port\)"), (pac, "the PAC file"), (pki, "the CA's page")):
        with pytest.raises(ConfigError, match=f"which has that port for {words}"):
            refuse(str(port), bound, pki, **config)
    refuse(str(dns), bound, pki, dns=DnsConfig(enabled=False, port=dns))
    refuse(str(pac), bound, pki, pac=PacConfig(enabled=False, port=pac))


def test_an_app_that_has_the_port_of_an_auxiliary_listener_already_is_the_app(
    bound: BoundListeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtls.daemon.own_targets.port_holder", lambda _: "node (process 1)")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        refuse(str(listening.getsockname()[1]), bound, pac=PacConfig(port=listening.getsockname()[1]))


async def test_a_start_with_itself_as_target_gives_its_ports_back(start: Start) -> None:
    port = free_port()
    with pytest.raises(ConfigError, match="the target is devtls itself"):
        await start(f"app={port}", https_port=port)
    running = await start("app=1", https_port=port)
    assert running.daemon.bound.https.port == port


async def test_a_reload_with_itself_as_target_is_refused_with_the_line(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text("[routes]\napp = 9\n")
    running = await start(file=file)
    file.write_text(f"[routes]\napp = 9\nloop = {running.daemon.bound.https.port}\n")
    with pytest.raises(ConfigError) as caught:
        await running.daemon.reload()
    assert (caught.value.key, caught.value.line) == ("routes.loop", 3)
