"""What running proxies make of a file, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devtls.cli.proxy.takeover import Takeover, ask_for_takeover, tell
from devtls.errors import DevtlsError, ExitCode
from devtls.operations.control import RunningProxy
from devtls.system.control.unix_socket import ControlSocket
from devtls.web.control_messages import About, Done, ErrorInfo, RouteStatus

FILE = Path("/project/devtls.toml")
ROUTE = RouteStatus(name="App", hosts=("app.test",), urls=("https://app.test",), target="127.0.0.1:1", source="file")
LENT = RouteStatus(name="app", hosts=("app.test",), urls=("https://app.test",), target="x", source="temporary")


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
    assert ask_for_takeover([one], FILE, "x", ("app", "/")) == [Takeover(7, True, None, ROUTE)]
    assert ask_for_takeover([one], FILE, "x", ("app", "/api")) == [Takeover(7, True)]
    assert ask_for_takeover([one], Path("/other.toml"), "x", ("app", "/")) == []


@pytest.mark.parametrize(
    "answer", [Done(trouble=ErrorInfo("no", "do this", exit_code=3)), DevtlsError("no", hint="do this")]
)
def test_a_refusal_is_an_error_after_the_file_was_written(
    monkeypatch: pytest.MonkeyPatch, answer: Done | DevtlsError, capsys: pytest.CaptureFixture[str]
) -> None:
    one = proxy(monkeypatch, answer)
    found = ask_for_takeover([one], FILE, "x", ("app", "/"))
    assert tell(found, [one], "file") is ExitCode.FAILED
    told = capsys.readouterr()
    assert (told.out, "did not take it over: no" in told.err, "do this" in told.err) == ("", True, True)


@pytest.mark.parametrize(
    ("takeover", "wanted", "told"),
    [
        (Takeover(7, True, None, ROUTE), "file", "has taken it over:\n\n  App"),
        (Takeover(7, True, None, None), "", "has taken it over: the route is gone."),
        (
            Takeover(7, True, None, LENT),
            "file",
            "still has a route app from devtls add --temporary, which counts there",
        ),
        (Takeover(7, True, None, ROUTE), "", "still has a route App from its file"),
    ],
)
def test_outcomes(takeover: Takeover, wanted: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tell([takeover], [], wanted) is ExitCode.OK
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "wanted", "told"),
    [
        (Path("/other"), "file", "reads /other, so nothing changes there. `devtls add --temporary` reaches it."),
        (None, "", "has no file, so nothing changes there.\n"),
    ],
)
def test_a_proxy_with_another_file_is_named(
    monkeypatch: pytest.MonkeyPatch, file: Path | None, wanted: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell([], [proxy(monkeypatch, Done(), file)], wanted)
    assert told in capsys.readouterr().out


def test_without_a_proxy_the_next_one_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    tell([], [], "file")
    assert capsys.readouterr().out == "It counts from the next devtls serve on.\n"
