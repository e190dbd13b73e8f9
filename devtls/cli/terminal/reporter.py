"""The Reporter of the command line: progress, warnings and errors on stderr, as lines.

Owns their wording around the message; stdout stays free for results. A message may hold text from the machine or from
a program, so control characters are escaped here, last. Refuses to hide anything: there is no quiet mode.
"""

from __future__ import annotations

import sys

from devtls.cli.terminal.messages import printable, show_error, show_warning
from devtls.daemon.console.folding import fold_text, terminal_columns
from devtls.errors import DevtlsError


class TerminalReporter:
    """Writes what an operation reports to stderr."""

    def info(self, message: str) -> None:
        """Write a line."""
        self._write(message)

    def warning(self, message: str, hint: str = "") -> None:
        """Write a line that begins with `warning:`, and the hint below it."""
        show_warning(message, hint)

    def error(self, error: DevtlsError) -> None:
        """Write an error and its hint as one that ends a command is written."""
        show_error(error)

    def begin(self, label: str, elevation: str = "") -> None:
        """Write the label of a change, and that its tool may ask for a password."""
        self._write(f"{label} …" + (f" ({elevation} may ask for your password)" if elevation else ""))

    def _write(self, line: str) -> None:
        sys.stderr.write(fold_text(printable(line), terminal_columns(sys.stderr)) + "\n")
