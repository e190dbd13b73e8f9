"""What setup wishes for: names from files, from what runs and from the command line; ports; the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devtls.cli.setup import wish as module
from devtls.cli.setup.wish import read_wish, wish_for_service, with_example
from devtls.config import Config
from devtls.errors import ConfigError, DevtlsError, InvalidName
from devtls.names import Hostname
from devtls.system.changes.change import DesiredState
from devtls.system.changes.service.account import DIRECTORY_VARIABLES
from devtls.system.machine.paths import Paths

ZONES = (Hostname("dev.local"), Hostname("test"))


@pytest.fixture(autouse=True)
def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = home / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def read(home: Path, *, names: Sequence[str] = (), earlier: Sequence[str] = ()) -> DesiredState:
    return read_wish(Paths.from_environment(), home, ZONES, names=names, earlier=earlier)


def test_a_file_gives_names_in_every_zone_and_ports(project: Path, home: Path) -> None:
    (project / "devtls.toml").write_text(
        "[serve]\nhttps_port = 9443\nhttp_port = 9080\n[dns]\nport = 5300\n"
        '[routes]\napp = 3000\n"app/api" = 4000\n"*.app" = 3000\n"one.test" = 5000\ndocs = "./docs"\nlocalhost = 3000\n'
    )
    wish = read_wish(Paths.from_environment(), home, (*ZONES, Hostname("localhost")), names=(), earlier=())
    assert wish.hostnames == (
        *("app.dev.local", "app.localhost", "app.test"),
        *("docs.dev.local", "docs.localhost", "docs.test", "one.test"),
    )
    assert (wish.wildcards, wish.https_port, wish.http_port, wish.dns_port) == (True, 9443, 9080, 5300)
    assert wish.zones == ("dev.local", "test", "localhost")


def test_the_usual_ports_without_a_file_and_for_any_free_one(project: Path, home: Path) -> None:
    usual = (443, 80, 15353)
    wish = read(home)
    assert (wish.https_port, wish.http_port, wish.dns_port) == usual
    (project / "devtls.toml").write_text("[serve]\nhttps_port = 0\nhttp_port = 0\n[dns]\nport = 0\n")
    wish = read(home)
    assert (wish.https_port, wish.http_port, wish.dns_port) == usual
    (project / "devtls.toml").write_text("[serve]\nredirect = false\n")
    assert read(home).http_port is None


def test_a_file_that_is_not_allowed_gives_its_names_all_the_same(project: Path, home: Path) -> None:
    (project / "devtls.toml").write_text('[routes]\nfar = { target = "http://10.0.0.5", allow_remote = true }\n')
    assert read(home).hostnames == ("far.dev.local", "far.test")


@pytest.mark.parametrize("content", ["[routes\n", '[routes]\n"app.example.org" = 3000\n'])
def test_a_broken_file_is_named_and_passed_over(
    project: Path, home: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (project / "devtls.toml").write_text(content)
    assert read(home, names=["api"]).hostnames == ("api.dev.local", "api.test")
    told = capsys.readouterr().err
    assert "devtls.toml" in told
    assert "Its names are left out." in told


def test_a_directory_that_is_gone_has_no_file(
    project: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.rmdir()
    assert read(home).hostnames == ()
    assert "There is no current folder" in capsys.readouterr().err
    monkeypatch.chdir(home)


def test_names_are_short_or_in_full_and_in_a_zone(home: Path) -> None:
    wish = read(home, names=["api", "Shop.Test", "*.tenants"])
    assert (wish.hostnames, wish.wildcards) == (("api.dev.local", "api.test", "shop.test"), True)
    with pytest.raises(ConfigError, match=r"--name api\.example\.org.*none of the CA's zones"):
        read(home, names=["api.example.org"])
    with pytest.raises(InvalidName):
        read(home, names=["a_b"])


def test_earlier_names_stay_while_their_zone_does(home: Path) -> None:
    assert read(home, names=["api"], earlier=["old.test", "gone.internal", "api.test"]).hostnames == (
        "api.dev.local",
        "api.test",
        "old.test",
    )


def test_what_runs_adds_its_names_and_a_silent_one_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Route:
        hosts = ("web.dev.local", "*.web.dev.local", "web.other")

    class Serve:
        routes = (Route,)

    class Answer:
        serve = Serve

    class Proxy:
        def __init__(self, error: DevtlsError | None = None) -> None:
            self._error = error

        def get(self, path: str, kind: Any) -> Any:
            if self._error:
                raise self._error
            return Answer

    proxies = [Proxy(), Proxy(DevtlsError("process 7 does not answer.", hint="kill 7"))]
    monkeypatch.setattr(module, "find_running", lambda *_: proxies)
    wish = read(home)
    assert (wish.hostnames, wish.wildcards) == (("web.dev.local",), True)
    assert "process 7 does not answer." in capsys.readouterr().err


def test_without_any_route_it_is_the_name_of_the_examples(home: Path) -> None:
    assert with_example(read(home)).hostnames == ("app.dev.local", "app.test")
    for known in (read(home, names=["api"]), read(home, names=["*.app"])):
        assert with_example(known) is known


@pytest.mark.skipif(sys.platform == "win32", reason="users have numbers")
def test_the_service_is_told_who_and_where(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    wish = read(home)
    assert wish_for_service(Config(), home) == replace(wish, zones=(), hostnames=())
    assert (wish.user.uid, wish.user.gid, wish.user.home) == (os.getuid(), os.getgid(), home)
    assert wish.command == (sys.executable, "-m", "devtls")
    assert wish.environment["DEVTLS_STATE_DIR"] == str(home / "state")
    assert frozenset(wish.environment) <= frozenset(DIRECTORY_VARIABLES)
    monkeypatch.setenv("DEVTLS_STATE_DIR", "here/state")
    assert read(home).environment["DEVTLS_STATE_DIR"] == str(home / "project/here/state")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert read(home).user.name == "4000000"
