"""One route on one line: the address to open, where it goes, how that is, and the route's other names.

Owns the layout, for the banner of a proxy and for the commands that show routes. Text is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from devtls.config.lines import visible
from devtls.daemon.console.style import BOLD, DIM, GREEN, YELLOW, TerminalStyle
from devtls.names import is_wildcard

_WIDEST_ADDRESS = 44
"""Columns: one long name must not push every other route's target to the right."""


class RouteRow(NamedTuple):
    """The addresses of a route, the first to be opened; `trouble` is "" for one that answers, None = not known."""

    addresses: Sequence[str]
    target: str
    trouble: str | None = None


def row_lines(rows: Sequence[RouteRow], style: TerminalStyle) -> Iterator[str]:
    """Yield a line for each route, their columns aligned."""
    width = min(max((len(row.addresses[0]) for row in rows if row.addresses), default=0), _WIDEST_ADDRESS)
    for row in rows:
        first, *others = row.addresses or ("",)
        shown = style.paint(_linked(first, first, style), BOLD) + " " * (width - len(first))
        state = ""
        if row.trouble is not None:
            state = f"  {style.paint(visible(row.trouble), YELLOW) if row.trouble else style.paint('up', GREEN)}"
        yield f"  {shown}  ->  {visible(row.target)}{state}{_also(others, style)}"


def _also(addresses: Sequence[str], style: TerminalStyle) -> str:
    names = ", ".join(_linked(address, short_address(address), style) for address in addresses)
    return f"  {style.paint(f'also {names}', DIM)}" if names else ""


def _linked(address: str, text: str, style: TerminalStyle) -> str:
    # A wildcard is no address that could be opened, and a name alone is none either.
    opens = address.startswith("https://") and not is_wildcard(address.removeprefix("https://"))
    return style.link(address, visible(text)) if opens else visible(text)


def short_address(address: str) -> str:
    """Return an address without its scheme and port, which are those of the route's first one."""
    authority, slash, path = address.removeprefix("https://").partition("/")
    return authority.partition(":")[0] + slash + path
