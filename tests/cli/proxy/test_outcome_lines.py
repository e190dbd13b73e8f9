"""How the outcome in running proxies is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.cli.proxy.outcome_lines import show_outcomes
from devtls.errors import ExitCode
from devtls.operations.control import RunningProxy
from devtls.operations.routes import ProxyOutcome
from devtls.system.control.unix_socket import ControlSocket
from devtls.web.control_messages import About, ErrorInfo, RouteStatus

ROUTE = RouteStatus(name="App", hosts=("app.test",), urls=("https://app.test",), target="127.0.0.1:1", source="file")
TEMPORARY = RouteStatus(name="app", hosts=("app.test",), urls=("https://app.test",), target="x", source="temporary")


def proxy(file: Path | None) -> RunningProxy:
    about = About(version="1", pid=7, https_port=443, config_file=None if file is None else str(file))
    return RunningProxy(ControlSocket(Path("/x"), 7), about)


def test_a_refusal_is_an_error_after_the_file_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    refused = ProxyOutcome(7, False, ErrorInfo("no", "do this", exit_code=3))
    assert show_outcomes([refused], [proxy(None)], "file") is ExitCode.FAILED
    told = capsys.readouterr()
    assert (told.out, "did not apply it: no" in told.err, "do this" in told.err) == ("", True, True)


@pytest.mark.parametrize(
    ("outcome", "expected", "told"),
    [
        (ProxyOutcome(7, True, None, ROUTE), "file", "has applied it:\n\n  https://app.test  ->  127.0.0.1:1\n"),
        (ProxyOutcome(7, True, None, None), "", "has applied it: the route is gone."),
        (
            ProxyOutcome(7, True, None, TEMPORARY),
            "file",
            "still has a route app from devtls add --temporary, which takes precedence there",
        ),
        (ProxyOutcome(7, True, None, ROUTE), "", "still has a route App from its file"),
    ],
)
def test_outcomes(outcome: ProxyOutcome, expected: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_outcomes([outcome], [], expected) is ExitCode.OK
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "expected", "told"),
    [
        (Path("/other"), "file", "reads /other, so nothing changes there. `devtls add --temporary` reaches it."),
        (None, "", "has no file, so nothing changes there.\n"),
    ],
)
def test_a_proxy_with_another_file_is_named(
    file: Path | None, expected: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_outcomes([], [proxy(file)], expected)
    assert told in capsys.readouterr().out


def test_without_a_proxy_the_next_one_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcomes([], [], "file")
    assert capsys.readouterr().out == "The next devtls serve uses it.\n"
