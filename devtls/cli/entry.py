"""The entry point of the command line: one command, and the exit code of the process.

Owns how an error that reaches it is shown. stdout carries results, stderr messages. This is the one place that imports
late: `devtls serve` with plain arguments goes past click, whose import is a tenth of the time to the first response,
and every other command is a module that is loaded when it is named (`group`).
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import NoReturn

from devtls.cli.terminal.messages import show, show_error
from devtls.errors import DevtlsError, ExitCode, PortInUse


def run(argv: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
    except DevtlsError as error:
        show_error(error)
        code = error.exit_code
    # Not a traceback: Ctrl-C at a question is an ordinary answer.
    except KeyboardInterrupt as interrupt:
        detail = f": {interrupt}" if str(interrupt) else ""
        sys.stderr.write(f"Interrupted{detail}.\n")
        code = ExitCode.INTERRUPTED
    except OSError as error:
        # With a file name it is about that file, and should have been a DevtlsError: a traceback says more.
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
    # `__main__` disabled it for the imports; `serving.serve` looks after itself.
    gc.enable()
    from devtls.cli.group import main

    return main(arguments)


def _give_up_output(error: OSError) -> None:
    """End the attempts to write the result: its reader went away (`| head`), or its disk is full."""
    # Python writes what is left once more at its end, and would complain again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        show(f"The output cannot be written: {error.strerror}.", "")
