"""Terminal style: colours and clickable addresses, where the terminal has them."""

from __future__ import annotations

import msgspec


class TerminalStyle(msgspec.Struct, frozen=True):
    """Plain text unless told otherwise."""

    colour: bool = False
    links: bool = False

    def paint(self, text: str, code: str) -> str:
        """Return `text` in a colour (an SGR code)."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def link(self, url: str) -> str:
        """Return `url` as a link (OSC 8)."""
        return f"\x1b]8;;{url}\x1b\\{url}\x1b]8;;\x1b\\" if self.links else url
