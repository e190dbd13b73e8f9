from __future__ import annotations

import pytest

from devtls.cli.terminal.rows import Sign, coloured, marked_row, painted, wrapped


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_a_sentence_goes_on_below_itself() -> None:
    assert marked_row(Sign.WARNING, "Names", "One two three four five six seven eight.", 8) == [
        "  ! Names    One two three four five six",
        "             seven eight.",
    ]


def test_an_address_is_not_broken() -> None:
    word = "/a/path/that/is-longer/than/the-terminal/is-wide"
    assert wrapped(f"See {word} there", "- ", "  ") == ["- See", f"  {word}", "  there"]


def test_what_a_terminal_could_act_on_is_escaped() -> None:
    assert wrapped("a\x1b[2Jb") == ["a\\x1b[2Jb"]


def test_what_is_no_terminal_gets_no_colour() -> None:
    assert painted("x", Sign.BAD) == coloured("x", "36") == "x"
