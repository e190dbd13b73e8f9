"""The command line: one file per command, loaded only when that command is named.

Owns what all commands share: how an error is shown, the exit code. stdout carries results, stderr talk. `devtls serve`
with plain arguments goes past click, whose import is a tenth of the time to the first answer.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import NoReturn

from devtls.errors import DevtlsError, ExitCode, PortInUse


def run(argv: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
    except DevtlsError as error:
        show_error(error)
        code = error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        code = ExitCode.INTERRUPTED
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        _give_up_output(error)
        code = ExitCode.FAILED
    sys.exit(int(code))


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["serve"]:
        from devtls.cli.proxy.serve_arguments import read_plain

        plain = read_plain(arguments[1:])
        if plain is not None:
            from devtls.cli.proxy.serving import start

            try:
                return start(plain)
            except PortInUse as error:
                from devtls.cli.proxy.serve import explained

                raise explained(error, plain) from error
    gc.enable()
    from devtls.cli.group import main

    return main(arguments)


def _give_up_output(error: OSError) -> None:
    """End the attempts to write the result: its reader went away (`| head`), or its disk is full."""
    # Python writes what is left once more at its end, and would complain again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        show(f"The output cannot be written: {error.strerror}.", "")


def show_error(error: DevtlsError) -> None:
    """Print an error and its hint on stderr, with control characters escaped."""
    show(str(error), error.hint)


def show(message: str, hint: str) -> None:
    """Print what went wrong on stderr, and what to do next, if anything."""
    _show("error: ", "31;1", message, hint)


def show_warning(message: str, hint: str = "") -> None:
    """Print what did not go well and ends nothing on stderr, and what to do next, if anything."""
    _show("warning: ", "33;1", message, hint)


def _show(prefix: str, colour: str, message: str, hint: str) -> None:
    sys.stderr.write(_painted(prefix, colour) + printable(message) + "\n")
    if hint:
        sys.stderr.write(_painted("  try: ", "36") + printable(hint) + "\n")


def _painted(text: str, code: str) -> str:
    coloured = sys.stderr.isatty() and sys.platform != "win32" and "NO_COLOR" not in os.environ
    return f"\x1b[{code}m{text}\x1b[0m" if coloured else text


def printable(text: str) -> str:
    """Return `text` with everything a terminal could act on escaped (text from the network, from files)."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )
