"""Terminal style: colours and clickable addresses, where the terminal has them.

The one place that writes escape sequences, for the log of a proxy and for every command.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple, TextIO

BOLD, DIM = "1", "2"
RED, GREEN, YELLOW, CYAN = "31", "32", "33", "36"
"""Parameters of SGR (ECMA-48 8.3.117)."""


class TerminalStyle(NamedTuple):
    """Plain text unless told otherwise."""

    colour: bool = False
    links: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> TerminalStyle:
        """Return the style of a stream: plain for one that is no terminal, without colours where NO_COLOR is set."""
        terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        # The old console of Windows shows escape sequences as they are.
        # Windows Terminal sets WT_SESSION.
        able = terminal and (sys.platform != "win32" or "WT_SESSION" in os.environ)
        # no-color.org speaks of colours alone, so links stay.
        return cls(colour=able and "NO_COLOR" not in os.environ, links=able)

    def paint(self, text: str, *codes: str) -> str:
        """Return `text` with SGR parameters such as RED and BOLD."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour and codes else text

    def link(self, url: str, text: str = "") -> str:
        """Return a text, or the address itself, as a link to it (OSC 8)."""
        text = text or url
        # Most terminals without OSC 8 show the text between, and nothing else.
        return f"\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\" if self.links else text
