from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from devtls.doctor.health.names import Lookup, ResolverFacts
from devtls.doctor.health.probes import names
from devtls.doctor.health.probes.names import look_at_names, look_at_resolver, look_up


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
    app, wild = look_at_names(["app.test", "*.app.test"])
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
    (found,) = look_at_names(["app.test"])
    over.set()
    assert (found.v4, found.v6, found.slow) == (Lookup(took_s=None), Lookup(took_s=None), True)


@pytest.mark.parametrize(
    ("text", "sources"),
    [("# hosts: no\npasswd: files\nhosts:  files mdns4_minimal dns\n", ("files", "mdns4_minimal", "dns")), ("", ())],
)
def test_the_order_of_sources_is_read(tmp_path: Path, text: str, sources: tuple[str, ...]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nsswitch.conf").write_text(text)
    assert look_at_resolver(tmp_path).sources == sources


def test_the_hosts_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost A.test # b.test\n\n#10.0.0.1 x\n::1\ta.test\n")
    written = look_at_resolver(tmp_path).written
    assert written == {"localhost": ("127.0.0.1",), "a.test": ("127.0.0.1", "::1")}


def test_without_ipv6_and_nsswitch_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    assert look_at_resolver(tmp_path) == ResolverFacts((), ipv6=False)
