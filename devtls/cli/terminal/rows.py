"""Results as rows: a symbol, a label and a sentence that is wrapped below itself; for `devtls check` and `doctor`.

Owns the symbols. An output whose encoding lacks them gets words.
"""

from __future__ import annotations

import sys
from enum import Enum

from devtls.cli.terminal.output import paint, wrapped
from devtls.daemon.console.style import BOLD, GREEN, RED, YELLOW


class Symbol(Enum):
    """A sign, the word for it in plain ASCII, and its colour."""

    OK = ("✓", "ok", (GREEN,))
    NOTE = ("·", "--", (YELLOW,))
    WARNING = ("!", "!!", (YELLOW, BOLD))
    ERROR = ("✗", "NO", (RED, BOLD))

    def __init__(self, sign: str, word: str, codes: tuple[str, ...]) -> None:
        self.sign = sign
        self.word = word
        self.codes = codes

    def text(self) -> str:
        """Return the sign, or the word where the output's encoding lacks one of the signs."""
        try:
            "".join(each.sign for each in Symbol).encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            return self.word
        return self.sign


def marked_row(symbol: Symbol, label: str, sentence: str, label_width: int) -> list[str]:
    """Return the lines of one row."""
    width = max(len(each.text()) for each in Symbol)
    first, *others = wrapped(sentence, " " * (width + label_width + 4))
    return [f"  {paint(symbol.text().ljust(width), *symbol.codes)} {label:<{label_width}} {first.lstrip()}", *others]
