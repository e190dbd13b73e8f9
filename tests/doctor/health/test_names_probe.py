from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from devtls.doctor.health import names
from devtls.doctor.health.names import Lookup, ResolverFacts, look_up, probe_names, probe_resolver
from devtls.system.changes.change import DesiredState, User
from devtls.system.changes.resolver.drop_in import MARK, Recipe
from devtls.system.changes.resolver.macos import RESOLVER
from devtls.system.changes.resolver.resolved import DELEGATE, DROP_IN


def test_localhost_is_here() -> None:
    found = look_up("localhost", socket.AF_INET)
    assert found.addresses == ("127.0.0.1",)
    assert found.took_s is not None


def test_each_family_is_asked_and_a_wildcard_by_a_name_below(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int, family: int, kind: int) -> list[Any]:
        asked.append((host, family))
        if family == socket.AF_INET6:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(family, kind, 6, "", ("127.0.0.1", port))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    app, wild = probe_names(["app.test", "*.app.test"])
    assert (app.host, app.v4.addresses, app.v6.addresses, app.wildcard) == ("app.test", ("127.0.0.1",), (), False)
    assert (wild.host, wild.wildcard) == ("devtls-doctor.app.test", True)
    assert set(asked) == {(name.host, family) for name in (app, wild) for family in (socket.AF_INET, socket.AF_INET6)}


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*_: object) -> list[Any]:
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(names, "LIMIT_S", 0.05)
    (found,) = probe_names(["app.test"])
    over.set()
    assert (found.v4, found.v6, found.slow) == (Lookup(took_s=None), Lookup(took_s=None), True)


@pytest.mark.parametrize(
    ("text", "sources"),
    [("# hosts: no\npasswd: files\nhosts:  files mdns4_minimal dns\n", ("files", "mdns4_minimal", "dns")), ("", ())],
)
def test_the_order_of_sources_is_read(tmp_path: Path, text: str, sources: tuple[str, ...]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nsswitch.conf").write_text(text)
    assert probe_resolver(tmp_path).sources == sources


def test_the_hosts_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost A.test # b.test\n\n#10.0.0.1 x\n::1\ta.test\n")
    written = probe_resolver(tmp_path).written
    assert written == {"localhost": ("127.0.0.1",), "a.test": ("127.0.0.1", "::1")}


@pytest.mark.parametrize("recipe", [DELEGATE, DROP_IN, RESOLVER])
@pytest.mark.parametrize("answers", [True, False])
def test_a_resolver_that_asks_devtls_is_told_from_one_that_gets_an_answer(
    tmp_path: Path, recipe: Recipe, answers: bool
) -> None:
    assert probe_resolver(tmp_path).silent_port == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        port = server.getsockname()[1]
        (tmp_path / recipe.directory).mkdir(parents=True)
        desired = DesiredState(User("me", 1000, 1000, tmp_path), ("dev.local",), (), dns_port=port)
        for file, content in recipe.files(desired).items():
            (tmp_path / recipe.directory / file).write_text(f"{MARK}\n{content}")

        def answer() -> None:
            question, client = server.recvfrom(512)
            server.sendto(question if answers else b"?" + question, client)

        thread = threading.Thread(target=answer)
        thread.start()
        assert probe_resolver(tmp_path).silent_port == (0 if answers else port)
        thread.join()
    assert probe_resolver(tmp_path).silent_port == port


def test_without_ipv6_and_nsswitch_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    assert probe_resolver(tmp_path) == ResolverFacts((), ipv6=False)
