"""The Reporter of the command line writes to stderr and escapes."""

from __future__ import annotations

import pytest

from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import DevtlsError
from devtls.operations.reporter import Reporter


def test_everything_goes_to_stderr_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    reporter: Reporter = TerminalReporter()
    reporter.info("Made it.")
    reporter.begin("System store")
    reporter.begin("System store", "sudo")
    reporter.warning("It is odd.")
    reporter.warning("It is odd.", "look at it")
    reporter.error(DevtlsError("It failed.", hint="try again"))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "Made it.",
        "System store …",
        "System store … (sudo may ask for your password)",
        "warning: It is odd.",
        "warning: It is odd.",
        "  try: look at it",
        "error: It failed.",
        "  try: try again",
    ]


def test_control_characters_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalReporter().info("\x1b[31mred")
    TerminalReporter().begin("\x1b[31mred")
    assert "\x1b" not in capsys.readouterr().err
