"""Answers as rows: a mark, a label and a sentence that is wrapped below itself; for `devtls check` and `doctor`.

Owns marks, colours and widths. What it is given is escaped here, last. A terminal gets colours unless NO_COLOR is
set; an output whose encoding lacks the marks gets words.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from enum import Enum

from devtls.cli import printable

WIDEST = 100


class Sign(Enum):
    """A mark: how it looks, what stands for it in plain ASCII, its colour."""

    FINE = ("✓", "ok", "32")
    NOTE = ("·", "--", "33")
    WARNING = ("!", "!!", "33;1")
    BAD = ("✗", "NO", "31;1")


def marked_row(sign: Sign, label: str, sentence: str, label_width: int) -> list[str]:
    """Return the lines of one row."""
    column = _column()
    width = max(len(each.value[column]) for each in Sign)
    indent = width + label_width + 4
    first, *others = wrapped(sentence, " " * indent)
    shown = painted(sign.value[column].ljust(width), sign)
    return [f"  {shown} {label:<{label_width}} {first.lstrip()}", *others]


def _column() -> int:
    """Return which form of a mark the output's encoding has."""
    try:
        "".join(each.value[0] for each in Sign).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return 1
    return 0


def wrapped(text: str, first: str = "", following: str | None = None) -> list[str]:
    """Return `text` in lines of the terminal's width, none over 100; words are never broken."""
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=first,
        subsequent_indent=first if following is None else following,
        break_long_words=False,
        break_on_hyphens=False,
    )


def painted(text: str, sign: Sign) -> str:
    """Return `text` in the colour of a mark, where that is wanted."""
    return coloured(text, sign.value[2])


def coloured(text: str, code: str) -> str:
    """Return `text` in a colour of the terminal's, where stdout is one that shows them."""
    wanted = sys.stdout.isatty() and sys.platform != "win32" and "NO_COLOR" not in os.environ
    return f"\x1b[{code}m{text}\x1b[0m" if wanted else text
