"""Lines of a terminal's width, broken between words: escape sequences take no room, and no word is cut.

Owns the width of text in cells, and the indentation of what is continued. A word that is longer than a line stays
whole, since an address that is cut in two can be neither clicked nor copied.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import TextIO

# Not compiled here: two patterns would cost each start of `devtls serve` 1 ms, and most lines fit.
_ESCAPES = r"\x1b\[[0-9;]*m|\x1b\]8;;[^\x1b]*\x1b\\"
"""SGR (ECMA-48 8.3.117) and OSC 8: what `style` writes."""
# An arrow and an "also" stay with what follows.
_WORD = r" *(?:(?:->|[^ ]*\balso) +)?[^ ]+"
_NARROWEST = 20


def terminal_columns(stream: TextIO) -> int:
    """Return the width of the terminal that a stream writes to, 0 where it is none or does not tell."""
    try:
        # Asked each time: a window changes its size while it is open. Not shutil's, whose import takes 5 ms.
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):  # the terminal is gone, or was never one with a descriptor
        return 0


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes (Unicode Standard Annex 11)."""
    if "\x1b" in text:
        text = re.sub(_ESCAPES, "", text)
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def fold(line: str, width: int) -> str:
    """Return a line as one or more that fit into `width` columns; words longer than that stay whole."""
    # The length in characters first: it is no less than the width, but for wide characters.
    if (line.isascii() and len(line) <= width) or width < _NARROWEST or cells(line) <= width:
        return line
    begins = len(line) - len(line.lstrip(" "))
    # Deeper than the next entry of a log or of a list of routes begins; a paragraph needs less.
    indent = " " * min(begins + (2 if begins and "->" not in line else 4), width // 3)
    lines, current = [], ""
    for word in re.findall(_WORD, line):
        if current.strip() and cells(current + word) > width:
            lines.append(current)
            current = indent + word.lstrip(" ")
        else:
            current += word
    return "\n".join([*lines, current])


def fold_text(text: str, width: int) -> str:
    """Return every line of a text folded."""
    return "\n".join(fold(line, width) for line in text.split("\n"))
