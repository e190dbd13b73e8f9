"""Text on stdout: wrapped, escaped, in colours on a terminal alone."""

from __future__ import annotations

import json
import sys

import msgspec
import pytest

from devtls.cli.terminal.output import paint, print_json, wrapped
from devtls.daemon.console.style import BOLD, RED


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_an_address_is_not_broken() -> None:
    word = "/a/path/that/is-longer/than/the-terminal/is-wide"
    assert wrapped(f"See {word} there", "- ", "  ") == ["- See", f"  {word}", "  there"]


def test_what_a_terminal_could_act_on_is_escaped() -> None:
    assert wrapped("a\x1b[2Jb") == ["a\\x1b[2Jb"]


def test_a_pipe_gets_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    assert paint("x", RED) == "x"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert paint("x", RED, BOLD) == "\x1b[31;1mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", RED) == "x"


def test_structs_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    class Point(msgspec.Struct):
        x: int

    print_json({"point": Point(1), "none": None})
    assert json.loads(capsys.readouterr().out) == {"point": {"x": 1}, "none": None}
