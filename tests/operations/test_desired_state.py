"""The desired state: names from files, from running proxies and from the command line; ports; the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devtls.config import Config
from devtls.errors import ConfigError, DevtlsError, InvalidName
from devtls.names import Hostname
from devtls.operations import desired_state as module
from devtls.operations.context import Context
from devtls.operations.desired_state import desired_state_of_service, read_desired_state, with_example
from devtls.system.changes.change import DesiredState
from devtls.system.changes.service.account import DIRECTORY_VARIABLES
from tests.operations.recording import RecordingReporter

Read = Callable[..., DesiredState]

ZONES = (Hostname("dev.local"), Hostname("test"))


@pytest.fixture(autouse=True)
def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = home / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def read(context: Context, project: Path) -> Read:
    """Read the desired state of a person in the project's directory."""

    def read(names: Sequence[str] = (), earlier: Sequence[str] = ()) -> DesiredState:
        context.record.remember_hostnames(earlier)
        return read_desired_state(context, project, ZONES, names)

    return read


def test_a_file_gives_names_in_every_zone_and_ports(context: Context, project: Path) -> None:
    (project / "devtls.toml").write_text(
        "[serve]\nhttps_port = 9443\nhttp_port = 9080\n[dns]\nport = 5300\n"
        '[routes]\napp = 3000\n"app/api" = 4000\n"*.app" = 3000\n"one.test" = 5000\ndocs = "./docs"\nlocalhost = 3000\n'
    )
    desired = read_desired_state(context, project, (*ZONES, Hostname("localhost")), ())
    assert desired.hostnames == (
        *("app.dev.local", "app.localhost", "app.test"),
        *("docs.dev.local", "docs.localhost", "docs.test", "one.test"),
    )
    assert (desired.wildcards, desired.https_port, desired.http_port, desired.dns_port) == (True, 9443, 9080, 5300)
    assert desired.zones == ("dev.local", "test", "localhost")


def test_the_usual_ports_without_a_file_and_for_any_free_one(project: Path, read: Read) -> None:
    usual = (443, 80, 15353)
    desired = read()
    assert (desired.https_port, desired.http_port, desired.dns_port) == usual
    (project / "devtls.toml").write_text("[serve]\nhttps_port = 0\nhttp_port = 0\n[dns]\nport = 0\n")
    desired = read()
    assert (desired.https_port, desired.http_port, desired.dns_port) == usual
    (project / "devtls.toml").write_text("[serve]\nredirect = false\n")
    assert read().http_port is None


def test_a_file_that_is_not_allowed_gives_its_names_all_the_same(project: Path, read: Read) -> None:
    (project / "devtls.toml").write_text('[routes]\nfar = { target = "http://10.0.0.5", allow_remote = true }\n')
    assert read().hostnames == ("far.dev.local", "far.test")


@pytest.mark.parametrize("content", ["[routes\n", '[routes]\n"app.example.org" = 3000\n'])
def test_a_broken_file_is_reported_and_left_out(
    project: Path, read: Read, reporter: RecordingReporter, content: str
) -> None:
    (project / "devtls.toml").write_text(content)
    assert read(names=["api"]).hostnames == ("api.dev.local", "api.test")
    (told,) = reporter.of("warning")
    assert "devtls.toml" in told
    assert told.endswith("Its names are left out.")


def test_without_a_project_the_names_of_its_file_do_not_count(context: Context, project: Path) -> None:
    (project / "devtls.toml").write_text("[routes]\napp = 3000\n")
    assert read_desired_state(context, None, ZONES, ()).hostnames == ()


def test_names_are_short_or_in_full_and_in_a_zone(read: Read) -> None:
    desired = read(names=["api", "Shop.Test", "*.tenants"])
    assert (desired.hostnames, desired.wildcards) == (("api.dev.local", "api.test", "shop.test"), True)
    with pytest.raises(ConfigError, match=r"--name api\.example\.org.*none of the CA's zones"):
        read(names=["api.example.org"])
    with pytest.raises(InvalidName):
        read(names=["a b"])


def test_earlier_names_stay_while_their_zone_does(read: Read) -> None:
    assert read(names=["api"], earlier=["old.test", "gone.internal", "api.test"]).hostnames == (
        "api.dev.local",
        "api.test",
        "old.test",
    )


def test_a_running_proxy_adds_its_names_and_a_silent_one_is_reported(
    read: Read, monkeypatch: pytest.MonkeyPatch, reporter: RecordingReporter
) -> None:
    class Route:
        hosts = ("web.dev.local", "*.web.dev.local", "web.other")

    class Serve:
        demo = False
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
    desired = read()
    assert (desired.hostnames, desired.wildcards) == (("web.dev.local",), True)
    assert reporter.of("error") == ["process 7 does not answer."]
    assert reporter.raised[0].hint == "kill 7"


def test_without_any_route_it_is_the_name_of_the_examples(read: Read) -> None:
    assert with_example(read()).hostnames == ("app.dev.local", "app.test")
    for known in (read(names=["api"]), read(names=["*.app"])):
        assert with_example(known) is known


@pytest.mark.skipif(sys.platform == "win32", reason="users have numbers")
def test_the_service_is_told_the_user_and_the_directories(
    context: Context, read: Read, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    desired = read()
    assert desired_state_of_service(context, Config()) == replace(desired, zones=(), hostnames=())
    assert (desired.user.uid, desired.user.gid, desired.user.home) == (os.getuid(), os.getgid(), home)
    assert desired.command == (sys.executable, "-m", "devtls")
    assert desired.environment["DEVTLS_STATE_DIR"] == str(home / "state")
    assert frozenset(desired.environment) <= frozenset(DIRECTORY_VARIABLES)
    monkeypatch.setenv("DEVTLS_STATE_DIR", "here/state")
    assert read().environment["DEVTLS_STATE_DIR"] == str(home / "project/here/state")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert read().user.name == "4000000"
