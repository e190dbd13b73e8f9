"""Tables: plain in a pipe; on a terminal fitted, folded, or in blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtls.cli.terminal import table
from devtls.cli.terminal.table import fitted_table, plain_table
from devtls.daemon.console.folding import cells

TITLES = ("Store", "State", "Remedy")
ROWS = [
    ("System store", "trusted", ""),
    ("Firefox profile ~/.mozilla/firefox/abc.default", "failed: the database is locked", "Close Firefox, then again"),
]


@pytest.mark.parametrize("terminal", [True, False])
def test_empty_columns_go_and_cells_are_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool
) -> None:
    monkeypatch.setattr(table, "is_wrapped", lambda: terminal)
    table.show_table(("Serial", "Names", "Place"), [(f"{number:04}", "\x1b[31m", "") for number in range(3)])
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.split() == ["SERIAL", "NAMES"]
    assert [row.split() for row in rows] == [[f"{number:04}", "\\x1b[31m"] for number in range(3)]


def test_a_pipe_gets_a_row_on_a_line() -> None:
    assert plain_table(TITLES, [("a", "trusted", "x y"), ("long", "odd", "")]) == [
        "STORE  STATE    REMEDY",
        "a      trusted  x y",
        "long   odd",
    ]


def test_the_widest_columns_are_folded() -> None:
    assert fitted_table(TITLES, ROWS, 80) == [
        "STORE                           STATE                    REMEDY",
        "System store                    trusted",
        "Firefox profile                 failed: the database is  Close Firefox, then",
        "~/.mozilla/firefox/abc.default  locked                   again",
    ]


def test_a_narrow_terminal_gets_blocks() -> None:
    assert fitted_table(TITLES, ROWS, 40) == [
        "System store",
        "  State   trusted",
        "Firefox profile",
        "~/.mozilla/firefox/abc.default",
        "  State   failed: the database is locked",
        "  Remedy  Close Firefox, then again",
    ]


def test_wide_characters_take_two_cells() -> None:
    first, second = plain_table(("a", "b"), [("日本", "x")])
    assert (first, second) == ("A     B", "日本  x")


def test_the_state_has_a_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "paint", lambda text, *codes: f"<{','.join(codes)}:{text}>")
    lines = fitted_table(("Store", "State"), [("a", "trusted"), ("b", "refused"), ("c", "odd")], 80)
    assert [line.split("<")[1].split(":")[0] for line in lines] == ["1", "32", "31", "33"]


@given(
    st.lists(st.tuples(*[st.text("abc d日e\u0301", max_size=60)] * 3), min_size=1, max_size=5),
    st.integers(min_value=30, max_value=120),
)
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, str, str]], width: int) -> None:
    assert max(map(cells, fitted_table(TITLES, rows, width))) <= width
