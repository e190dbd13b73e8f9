"""A port on the command line: 0 to 65535, in words that click's own range type does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    _IntType = click.ParamType[int]
else:
    _IntType = click.ParamType

_HIGHEST = 65535


class _Port(_IntType):
    # Not a subclass of click.IntRange: that adds "[0<=x<=65535]" to each option's help.
    name = "port"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            port = int(value)
        except ValueError:
            port = -1
        if not 0 <= port <= _HIGHEST:
            self.fail(f"{value!r} is no port: a port is a number from 0 to {_HIGHEST}.", param, ctx)
        return port


PORT = _Port()
"""The type of an option; its metavar is PORT."""
