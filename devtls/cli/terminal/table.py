"""A table on stdout: a first column that names, a second one whose first word gives its colour, and more.

Owns the layout: columns that line up; on a terminal they are fitted to its width, and a table that is too wide even
with folded cells becomes one block a row. Piped output is never folded, so that programs find a row on a line. Cells
are escaped here, last.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import click

from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import columns, paint
from devtls.daemon.console.folding import cells
from devtls.daemon.console.style import BOLD, GREEN, RED, YELLOW

Row: TypeAlias = tuple[str, ...]

_COLOURS = {
    "trusted": GREEN,
    "in force": GREEN,
    "applied": GREEN,
    "removed": GREEN,
    "refused": RED,
    "failed": RED,
    "locked": RED,
}
_GAP = 2
_NARROWEST = 14
"""A folded cell needs room for a word or two; below that, rows become blocks."""


def is_wrapped() -> bool:
    """Say whether tables are fitted to a terminal's width."""
    return sys.stdout.isatty()


def show_table(titles: Row, rows: Sequence[Row]) -> None:
    """Print a table on stdout without the columns that are empty."""
    escaped = [tuple(printable(cell) for cell in row) for row in rows]
    used = [index for index in range(len(titles)) if any(row[index] for row in escaped)]
    kept = [tuple(row[index] for index in used) for row in escaped]
    heads = tuple(titles[index] for index in used)
    lines = fitted_table(heads, kept, columns()) if is_wrapped() else plain_table(heads, kept)
    click.echo("\n".join(lines))


def plain_table(titles: Row, rows: Sequence[Row]) -> list[str]:
    """Return columns that line up, the last one unpadded."""
    everything = [tuple(title.upper() for title in titles), *rows]
    widths = _natural(everything)
    return [_joined([_padded(cell, width) for cell, width in zip(row, widths, strict=True)]) for row in everything]


def fitted_table(titles: Row, rows: Sequence[Row], width: int) -> list[str]:
    """Return a table of at most `width` columns: folded cells, or blocks where they would be too narrow."""
    heads = tuple(title.upper() for title in titles)
    widths = _fitted([heads, *rows], width)
    if widths is None:
        return list(_blocks(titles, rows, width))
    lines = [paint(_joined([_padded(head, size) for head, size in zip(heads, widths, strict=True)]), BOLD)]
    for row in rows:
        folded = [_folded(cell, size) for cell, size in zip(row, widths, strict=True)]
        for number in range(max(map(len, folded))):
            line = [cell[number] if number < len(cell) else "" for cell in folded]
            padded = [_padded(part, size) for part, size in zip(line, widths, strict=True)]
            lines.append(_joined(_coloured(padded, row)))
    return lines


def _blocks(titles: Row, rows: Sequence[Row], width: int) -> Iterator[str]:
    """Yield each row as its first cell, and the others below it with their titles."""
    label = max((len(title) for title in titles[1:]), default=0)
    room = max(width - label - 2 * _GAP, _NARROWEST)
    for row in rows:
        yield from (paint(line, BOLD) for line in _folded(row[0], width))
        for place, (title, cell) in enumerate(zip(titles[1:], row[1:], strict=True), 1):
            for number, line in enumerate(_folded(cell, room) if cell else ()):
                shown = paint(line, _colour(row)) if place == 1 else line
                yield f"  {title if number == 0 else '':<{label}}  {shown}"


def _natural(rows: Sequence[Row]) -> list[int]:
    return [max(map(cells, column)) for column in zip(*rows, strict=True)]


def _fitted(rows: Sequence[Row], width: int) -> list[int] | None:
    """Return the widths of columns that together fit, the widest cut first; None when one would be too narrow.

    Words are broken only when every column is as narrow as its longest word.
    """
    widths = _natural(rows)
    words = [max(cells(word) for cell in column for word in ("", *cell.split())) for column in zip(*rows, strict=True)]
    while sum(widths) > width - _GAP * (len(widths) - 1):
        order = sorted(range(len(widths)), key=lambda place: widths[place], reverse=True)
        whole = (place for place in order if widths[place] > max(words[place], _NARROWEST))
        broken = (place for place in order if widths[place] > _NARROWEST)
        place = next(whole, next(broken, None))
        if place is None:
            return None
        widths[place] -= 1
    return widths


def _coloured(padded: list[str], row: Row) -> list[str]:
    return [paint(part, _colour(row)) if place == 1 and part.strip() else part for place, part in enumerate(padded)]


def _colour(row: Row) -> str:
    return next((colour for word, colour in _COLOURS.items() if row[1].startswith(word)), YELLOW)


def _joined(parts: Sequence[str]) -> str:
    return (" " * _GAP).join(parts).rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def _folded(text: str, width: int) -> list[str]:
    """Return lines of at most `width` cells, broken between words, within a word where it is longer than a line."""
    if cells(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split():
        if line and cells(line) + 1 + cells(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while cells(line) > width:
            place = _cut(line, width)
            lines.append(line[:place])
            line = line[place:]
    return [*lines, line]


def _cut(text: str, width: int) -> int:
    """Return how many characters fit into `width` cells, at least one."""
    used = 0
    for place, char in enumerate(text):
        used += cells(char)
        if used > width:
            return max(place, 1)
    return len(text)
