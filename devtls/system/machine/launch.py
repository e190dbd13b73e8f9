"""Running a command in the place of this process.

Owns the two ways: where there is exec, the command takes this process over, so that signals, terminal, exit code and
process id are its own; on Windows, which has no such thing, we wait for it and hand its exit code on.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devtls.errors import CommandNotRun, ExitCode


def launch(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `argv` with `environ` and return its exit code, if at all; raises CommandNotRun."""
    program = shutil.which(argv[0], path=environ.get("PATH"))
    if program is None:
        raise _not_found(argv[0])
    try:
        if sys.platform == "win32":
            return run_and_wait([program, *argv[1:]], environ)
        return _become(program, argv, environ)
    except OSError as error:
        raise CommandNotRun(
            f"{program} cannot be run: {error.strerror}.", hint=f"file {shlex.quote(program)}"
        ) from error


def _not_found(name: str) -> CommandNotRun:
    if Path(name).name != name and Path(name).exists():
        return CommandNotRun(f"{name} is no program that may be run.", hint=f"ls -ld {shlex.quote(name)}")
    return CommandNotRun(
        f"There is no command {name!r}.", code=ExitCode.NO_SUCH_COMMAND, hint="devtls env -- COMMAND ARGUMENT…"
    )


def _become(program: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    # exec drops what Python still holds in its buffers.
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that is ignored stays so through exec (execve(2)), and most programs count on dying of SIGPIPE.
    ignored_by_python = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ignored_by_python}
    try:
        os.execve(program, list(argv), environ)  # noqa: S606 - the user's own command
    finally:  # it failed
        for number, handler in before.items():
            signal.signal(number, handler)


def run_and_wait(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a child to its end; Ctrl-C reaches it through the console, and it decides what to do."""
    # A handler of ours, that does nothing, is not passed on to the child; to ignore the signal would be. And a
    # KeyboardInterrupt at the moment when the child ends would lose its exit code.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with subprocess.Popen(argv, env=environ) as child:
            return child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
