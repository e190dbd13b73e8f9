"""Results on stdout."""

from __future__ import annotations

import json
from typing import Any

import click
import msgspec


def as_json(value: Any) -> str:
    """Return structs, and containers of them, as JSON text."""
    return json.dumps(msgspec.to_builtins(value), indent=2)


def print_json(value: Any) -> None:
    """Print structs, and containers of them, as JSON on stdout."""
    click.echo(as_json(value))
