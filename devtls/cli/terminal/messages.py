"""Messages on stderr: errors, warnings and their hints; and the escaping of text that a terminal could act on.

Imports nothing but the style and width of the terminal: the start of `devtls serve` waits for it.
"""

from __future__ import annotations

import sys

from devtls.daemon.console.folding import fold_text, terminal_columns
from devtls.daemon.console.style import BOLD, CYAN, RED, YELLOW, TerminalStyle
from devtls.errors import DevtlsError, shortened


def show_error(error: DevtlsError) -> None:
    """Print an error and its hint on stderr, with control characters escaped."""
    show(str(error), error.hint)


def show(message: str, hint: str) -> None:
    """Print an error on stderr, and its hint, if it has one."""
    _show("error: ", RED, message, hint)


def show_warning(message: str, hint: str = "") -> None:
    """Print a warning on stderr, and its hint, if it has one."""
    _show("warning: ", YELLOW, message, hint)


def _show(prefix: str, colour: str, message: str, hint: str) -> None:
    style, width = TerminalStyle.of(sys.stderr), terminal_columns(sys.stderr)
    # Also what click says of an argument, which may be as long as a command line.
    message, hint = shortened(message), shortened(hint)
    sys.stderr.write(fold_text(style.paint(prefix, colour, BOLD) + printable(message), width) + "\n")
    if hint:
        shown = style.paint("  try: ", CYAN) + printable(hint)
        # A command that is broken in two cannot be copied.
        sys.stderr.write((shown if _is_command(hint) else fold_text(shown, width)) + "\n")


def _is_command(hint: str) -> bool:
    return hint.startswith(("devtls ", "sudo ")) and ", " not in hint and "\n" not in hint


def printable(text: str) -> str:
    """Return `text` with everything a terminal could act on escaped (text from the network, from files)."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )
