"""A table on stdout: a first column that names, a second one whose first word gives its colour, and more.

Owns the layout. Refuses to load rich unless a terminal reads the table: piped output is plain columns, and so are more
rows than anybody reads, which rich takes 0.5 ms each to fit. What it is given is escaped here, last.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeAlias

import click

from devtls.cli import printable

Row: TypeAlias = tuple[str, ...]

_COLOURS = {
    "trusted": "green",
    "in force": "green",
    "removed": "green",
    "refused": "red",
    "failed": "red",
    "locked": "red",
}

_MOST_FITTED = 500


def is_wrapped() -> bool:
    """Say whether tables are fitted to a terminal's width."""
    return sys.stdout.isatty()


def show_table(titles: Row, rows: Sequence[Row]) -> None:
    """Print a table on stdout: coloured and wrapped on a terminal, plain columns in a pipe and for many rows."""
    escaped = [tuple(printable(cell) for cell in row) for row in rows]
    used = [index for index in range(len(titles)) if any(row[index] for row in escaped)]
    kept = [tuple(row[index] for index in used) for row in escaped]
    heads = tuple(titles[index] for index in used)
    if is_wrapped() and len(rows) <= _MOST_FITTED:
        _show_rich(heads, kept)
    else:
        click.echo(plain_table(heads, kept))


def plain_table(titles: Row, rows: Sequence[Row]) -> str:
    """Return columns that line up, the last one unpadded."""
    everything = [tuple(title.upper() for title in titles), *rows]
    widths = [max(len(row[index]) for row in everything) for index in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in everything]
    return "\n".join(line.rstrip() for line in lines)


def _show_rich(titles: Row, rows: Sequence[Row]) -> None:
    from rich.console import Console  # 60 ms to import, and only a terminal needs it
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        colour = next((colour for word, colour in _COLOURS.items() if row[1].startswith(word)), "yellow")
        table.add_row(row[0], Text(row[1], style=colour), *(Text(cell) for cell in row[2:]))
    Console().print(table)
