"""The Reporter of the command line: what an operation reports becomes lines on stderr."""

from __future__ import annotations

import click

from devtls.cli import printable, show, show_error
from devtls.errors import DevtlsError


class TerminalReporter:
    """Writes each report on stderr, with control characters escaped; stdout is for results."""

    def info(self, message: str) -> None:
        """Write a sentence."""
        click.echo(printable(message), err=True)

    def warning(self, message: str, hint: str = "") -> None:
        """Write a warning and its hint."""
        show(message, hint, "warning")

    def error(self, error: DevtlsError) -> None:
        """Write an error and its hint."""
        show_error(error)

    def begin(self, label: str, elevation: str = "") -> None:
        """Write which change begins, and that `elevation` may ask for a password."""
        asks = f" ({elevation} may ask for your password)" if elevation else ""
        click.echo(printable(f"{label} …{asks}"), err=True)
