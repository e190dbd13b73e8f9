"""Requests to running proxies: reload, stop, status, the PAC port."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devtls.errors import DevtlsError, ExitCode, NotRunning
from devtls.operations import proxies
from devtls.operations.control import RunningProxy, statuses
from devtls.system.control.unix_socket import ControlSocket
from devtls.system.machine.paths import Paths
from devtls.web.control_messages import RELOAD, STOP, About, Done, ErrorInfo, RouteStatus
from tests.operations.recording import RecordingReporter

Asking = tuple[Paths, RecordingReporter]
ROUTE = RouteStatus(name="app", hosts=("app.test",), urls=("https://app.test",), target="127.0.0.1:1", source="file")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, Done]:
    """Answers by path; one proxy runs."""
    answers: dict[str, Done] = {}
    about = About(version="1", pid=7, https_port=443, config_file=None, pac_port=15354)
    one = RunningProxy(ControlSocket(Path("/nowhere/control"), 7), about)
    monkeypatch.setattr(proxies, "find_running", lambda *_: [one])

    def send(self: RunningProxy, path: str, request: msgspec.Struct) -> Done:
        return answers[path]

    monkeypatch.setattr(RunningProxy, "send", send)
    return answers


@pytest.fixture
def asking() -> Asking:
    return Paths.from_environment(), RecordingReporter()


def test_a_reload_returns_the_routes(sent: dict[str, Done], asking: Asking) -> None:
    sent[RELOAD] = Done(routes=(ROUTE,))
    done = proxies.reload(*asking, None)
    assert (done.label, done.routes) == ("devtls serve (process 7)", (ROUTE,))


def test_a_failed_reload_is_raised_with_its_exit_code(sent: dict[str, Done], asking: Asking) -> None:
    sent[RELOAD] = Done(error=ErrorInfo("no", "do this", exit_code=3))
    with pytest.raises(DevtlsError, match="goes on with its old configuration: no") as caught:
        proxies.reload(*asking, None)
    assert (caught.value.hint, caught.value.exit_code) == ("do this", ExitCode.CONFIG)


def test_stop_waits_for_the_end(sent: dict[str, Done], asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = iter([False, False, True])
    monkeypatch.setattr(proxies, "is_gone", lambda _: next(gone))
    sent[STOP] = Done()
    assert proxies.stop(*asking, 7, now=True) == "devtls serve (process 7)"
    assert list(gone) == []


def test_a_proxy_that_does_not_end_is_named(
    sent: dict[str, Done], asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxies, "is_gone", lambda _: False)
    monkeypatch.setattr(proxies, "_MARGIN_S", 0.0)
    sent[STOP] = Done()
    with pytest.raises(DevtlsError, match="has not ended yet"):
        proxies.stop(*asking, None, now=False)


class Told:
    """An answer to STATUS, as far as it counts here."""

    class serve:
        zones = ("dev.local", "test")


def test_the_pac_file_is_made_of_what_the_proxy_says_and_not_of_what_its_port_does(
    sent: dict[str, Done], asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunningProxy, "get", lambda *_: Told)
    found = proxies.pac_file(*asking, None)
    assert (found.port, found.url) == (15354, "http://127.0.0.1:15354/proxy.pac")
    assert b'"PROXY 127.0.0.1:15354"' in found.text
    assert b'["dev.local", "test"]' in found.text
    kind, _, data = found.data_url.partition(",")
    assert kind == "data:application/x-ns-proxy-autoconfig;base64"
    assert b64decode(data) == found.text


def test_without_a_proxy_there_is_no_status(asking: Asking) -> None:
    assert statuses(*asking) == []
    requests: list[Any] = [lambda: proxies.reload(*asking, None), lambda: proxies.pac_file(*asking, 5)]
    for request in requests:
        with pytest.raises(NotRunning):
            request()


def demo_and(*others: RunningProxy) -> list[RunningProxy]:
    about = About(version="1", pid=9, https_port=8443, config_file=None, demo=True)
    return [RunningProxy(ControlSocket(Path("/nowhere/demo"), 9), about), *others]


def test_a_demo_is_ended_where_nothing_else_runs_or_by_its_number(
    sent: dict[str, Done], asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxies, "is_gone", lambda _: True)
    sent[STOP] = Done()
    about = About(version="1", pid=7, https_port=443, config_file=None)
    serve = RunningProxy(ControlSocket(Path("/nowhere/control"), 7), about)
    monkeypatch.setattr(proxies, "find_running", lambda *_: demo_and(serve))
    assert proxies.stop(*asking, None, now=True) == "devtls serve (process 7)"
    assert proxies.stop(*asking, 9, now=True) == "devtls demo (process 9)"
    monkeypatch.setattr(proxies, "find_running", lambda *_: demo_and())
    assert proxies.stop(*asking, None, now=True) == "devtls demo (process 9)"


def test_a_demo_takes_no_other_requests(sent: dict[str, Done], asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "find_running", lambda *_: demo_and())
    with pytest.raises(NotRunning):
        proxies.reload(*asking, None)
