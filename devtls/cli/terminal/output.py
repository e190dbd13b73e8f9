"""Results on stdout: colours, lines of the terminal's width, JSON.

Owns the escaping of text that is wrapped here. Colours appear on a terminal alone: what a pipe reads is plain text.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import Any

import click
import msgspec

from devtls.cli.terminal.messages import printable
from devtls.daemon.console.folding import fold
from devtls.daemon.console.style import TerminalStyle

WIDEST = 100
"""Columns: longer lines are hard to read."""


def paint(text: str, *codes: str) -> str:
    """Return `text` with SGR parameters such as RED and BOLD, where stdout shows them."""
    return TerminalStyle.of(sys.stdout).paint(text, *codes)


def columns() -> int:
    """Return the width of the terminal; WIDEST where there is none."""
    return shutil.get_terminal_size((WIDEST, 24)).columns


def wrapped(text: str, first: str = "", following: str | None = None, *, widest: int = WIDEST) -> list[str]:
    """Return `text` in lines of the terminal's width, none over `widest`, escaped; words are never broken."""
    return textwrap.wrap(
        printable(text),
        max(min(columns(), widest), len(first) + 1),
        initial_indent=first,
        subsequent_indent=first if following is None else following,
        break_long_words=False,
        break_on_hyphens=False,
    )


def folded(line: str, *, widest: int = 0) -> list[str]:
    """Return a line, escape sequences of ours in it, as lines of the terminal's width, none over `widest` (0: any).

    For a pipe it is broken at `widest` alone.
    """
    width = columns() if sys.stdout.isatty() else widest
    return fold(line, min(width, widest or width)).split("\n")


def as_json(value: Any) -> str:
    """Return structs, and containers of them, as JSON text."""
    return json.dumps(msgspec.to_builtins(value), indent=2)


def print_json(value: Any) -> None:
    """Print structs, and containers of them, as JSON on stdout."""
    click.echo(as_json(value))
