"""Tables: fitted to a terminal, plain where nobody sees them or nobody reads them all."""

from __future__ import annotations

import pytest

from devtls.cli.terminal import table

TITLES = ("Serial", "Names", "Place")


@pytest.mark.parametrize(
    ("wrapped", "count", "headings"),
    [(True, 500, ["Serial", "Names"]), (True, 501, ["SERIAL", "NAMES"]), (False, 2, ["SERIAL", "NAMES"])],
)
def test_a_terminal_gets_fitted_columns_of_as_many_rows_as_are_read(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    wrapped: bool,
    count: int,
    headings: list[str],
) -> None:
    monkeypatch.setattr(table, "is_wrapped", lambda: wrapped)
    table.show_table(TITLES, [(f"{number:04}", "\x1b[31m", "") for number in range(count)])
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.split() == headings
    assert [row.split() for row in rows] == [[f"{number:04}", "\\x1b[31m"] for number in range(count)]
