"""Routes through operations alone: added, listed, removed, and the outcome in running proxies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from devtls.errors import ConfigError, DevtlsError, NotRunning
from devtls.operations import routes
from devtls.operations.config_choice import chosen_file
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy
from devtls.operations.route_file import RouteOptions
from devtls.operations.route_lists import lists
from devtls.operations.routes import ProxyOutcome, add, add_temporarily, reload_readers, remove
from devtls.system.control.unix_socket import ControlSocket
from devtls.web.control_messages import About, Done, ErrorInfo, RouteStatus
from tests.operations.recording import RecordingReporter

FILE = Path("/project/devtls.toml")
ROUTE = RouteStatus(name="App", hosts=("app.test",), urls=("https://app.test",), target="127.0.0.1:1", source="file")


def proxy(monkeypatch: pytest.MonkeyPatch, answer: Done | DevtlsError, file: Path | None = FILE) -> RunningProxy:
    def send(*_: Any) -> Done:
        if isinstance(answer, DevtlsError):
            raise answer
        return answer

    monkeypatch.setattr(RunningProxy, "send", send)
    about = About(version="1", pid=7, https_port=443, config_file=None if file is None else str(file))
    return RunningProxy(ControlSocket(Path("/x"), 7), about)


def test_only_who_reads_the_file_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    one = proxy(monkeypatch, Done(routes=(ROUTE,)))
    assert reload_readers([one], FILE, "x", ("app", "/")) == [ProxyOutcome(7, True, None, ROUTE)]
    assert reload_readers([one], FILE, "x", ("app", "/api")) == [ProxyOutcome(7, True)]
    assert reload_readers([one], Path("/other.toml"), "x", ("app", "/")) == []


@pytest.mark.parametrize(
    "answer", [Done(error=ErrorInfo("no", "do this", exit_code=3)), DevtlsError("no", hint="do this")]
)
def test_a_refusal_is_an_outcome(monkeypatch: pytest.MonkeyPatch, answer: Done | DevtlsError) -> None:
    one = proxy(monkeypatch, answer)
    (outcome,) = reload_readers([one], FILE, "x", ("app", "/"))
    assert outcome.error is not None
    assert (outcome.applied, outcome.error.message, outcome.error.hint) == (False, "no", "do this")


@pytest.fixture
def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = home / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def test_a_route_is_added_listed_and_removed_without_a_terminal(project: Path) -> None:
    context = Context.here(RecordingReporter())
    found = chosen_file(context.paths, None, False)
    added = add(context, found, "app", "3000", RouteOptions())
    assert (added.file, added.created, added.line, added.replaced) == (
        project / "devtls.toml",
        True,
        "app = 3000",
        None,
    )
    assert (added.outcomes, added.running) == ((), ())
    again = add(context, found, "APP", "4000", RouteOptions(host="upstream"))
    assert (again.created, again.replaced) == (False, "app")
    (listed,) = lists(context, None)
    assert (listed.pid, [route.target for route in listed.routes]) == (None, ["127.0.0.1:4000"])
    assert remove(context, found, "app").file == found.path
    with pytest.raises(ConfigError, match="has no route app"):
        remove(context, found, "app")
    assert context.reporter == RecordingReporter()


def test_a_temporary_route_needs_a_running_proxy(project: Path) -> None:
    with pytest.raises(NotRunning):
        add_temporarily(Context.here(RecordingReporter()), None, "app", "3000", RouteOptions())


def test_a_temporary_route_goes_to_the_running_proxy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = proxy(monkeypatch, Done(routes=(ROUTE,)))
    monkeypatch.setattr(routes, "find_running", lambda *_: [one])
    added = add_temporarily(Context.here(RecordingReporter()), None, "app", "./site", RouteOptions())
    assert (added.file, added.line, added.outcomes) == (None, 'app = "./site"', (ProxyOutcome(7, True, None, ROUTE),))


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("command line", "devtls stop --pid 7, then without it"),
        ("acme", "enabled = false in [acme] switches it off"),
        ("file", "devtls remove app --config '/a project/devtls.toml'"),
    ],
)
def test_a_route_that_a_proxy_keeps_is_not_called_removed(
    project: Path, monkeypatch: pytest.MonkeyPatch, source: str, hint: str
) -> None:
    one = proxy(monkeypatch, Done(routes=(replace(ROUTE, source=source),)), Path("/a project/devtls.toml"))
    monkeypatch.setattr(routes, "find_running", lambda *_: [one])
    context = Context.here(RecordingReporter())
    with pytest.raises(ConfigError) as caught:
        remove(context, chosen_file(context.paths, None, False), "app")
    assert caught.value.hint == hint


def test_a_temporary_route_is_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = proxy(monkeypatch, Done(removed=True))
    monkeypatch.setattr(routes, "find_running", lambda *_: [one])
    context = Context.here(RecordingReporter())
    removed = remove(context, chosen_file(context.paths, None, False), "app")
    assert (removed.file, removed.outcomes) == (None, (ProxyOutcome(7, True),))
