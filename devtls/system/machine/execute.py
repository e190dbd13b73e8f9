"""Execution of plans: the half of a change that touches the machine.

Owns starting programs (never through a shell), their time limits, and turning their output into an Outcome. Refuses
to go on after a step that failed: the rest of that plan is not run. Strategy: output goes to unnamed temporary files,
not pipes, so that a grandchild that outlives a killed tool cannot hang us; a program that is not elevated gets a
session of its own, so that it cannot ask for a password on the terminal behind our back and is killed with all its
children.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from devtls.system.machine.plan import (
    Elevation,
    MakeDirectory,
    ManualStep,
    Plan,
    RemoveFile,
    Run,
    Step,
    Unchanged,
    WriteFile,
    elevated_argv,
    lower,
)

_KEPT_OUTPUT = 8 << 20
_KILLED = -9  # by SIGKILL, as subprocess says it; Windows knows no such signal
# The JVM prints these on stderr whenever such a variable is set, whatever the program does.
_JVM_CHATTER = ("Picked up JAVA_TOOL_OPTIONS", "Picked up JDK_JAVA_OPTIONS", "Picked up _JAVA_OPTIONS")


class StepFailure(Enum):
    """Why a step could not be done."""

    NO_TOOL = "no-tool"
    NO_ELEVATION = "no-elevation"
    NOT_PERMITTED = "not-permitted"
    READ_ONLY = "read-only"
    TIMED_OUT = "timed-out"
    CHANGED = "changed"
    MANUAL = "by-hand"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended by itself."""

    code: int
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def last_line(self) -> str:
        """The last non-empty line of stderr, else of stdout; a JVM's line about a variable it read does not count."""
        for output in (self.stderr, self.stdout):
            text = output.decode("utf-8", "replace")
            lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_JVM_CHATTER)]
            if lines:
                return lines[-1]
        return f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class NotFinished:
    """A program that could not be started or had to be killed."""

    trouble: StepFailure
    detail: str


class Runner(Protocol):
    """Starts one program and waits for it; the seam where tests put their own."""

    def run(self, run: Run) -> Finished | NotFinished:
        """Start `run` and return how it ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a plan went: `failed` is the step at which it stopped (None = all done)."""

    failed: Step | None = None
    trouble: StepFailure | None = None
    detail: str = ""

    @property
    def done(self) -> bool:
        """Whether every step was done."""
        return self.failed is None


@dataclass(frozen=True, slots=True)
class ProcessRunner:
    """Starts real programs; `elevation` None means that an elevated step cannot be run."""

    elevation: Elevation | None = None

    def run(self, run: Run) -> Finished | NotFinished:
        """Start `run`, wait at most its time limit, and return how it ended."""
        if run.elevate and self.elevation is None:
            return NotFinished(StepFailure.NO_ELEVATION, "neither sudo, doas nor pkexec is installed")
        asks = run.elevate and bool(self.elevation and self.elevation.argv)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as fed:
            fed.write(run.stdin or b"")
            fed.seek(0)
            try:
                process = subprocess.Popen(
                    elevated_argv(run, self.elevation),
                    stdin=fed if run.stdin is not None else subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    # What tools say is compared with English texts, such as "Read-only file system" below.
                    env={**os.environ, **run.env, "LC_ALL": "C.UTF-8"},
                    # sudo asks on the controlling terminal, which a new session does not have (setsid(2)).
                    start_new_session=not asks,
                )
            except OSError as error:
                return NotFinished(_trouble_of(error), f"{run.argv[0]}: {error.strerror}")
            try:
                code = process.wait(run.timeout_s)
            except subprocess.TimeoutExpired:
                _stop(process, group=not asks)
                return NotFinished(StepFailure.TIMED_OUT, f"{run.argv[0]} did not end within {run.timeout_s:g} s")
            out.seek(0)
            err.seek(0)
            return Finished(code, out.read(_KEPT_OUTPUT), err.read(_KEPT_OUTPUT))


def _stop(process: subprocess.Popen[bytes], *, group: bool) -> None:
    try:
        if group and sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.terminate()
        process.wait(1)
    except (PermissionError, ProcessLookupError, subprocess.TimeoutExpired):
        # An elevated tool belongs to root and ends when it likes; Popen must not warn that we did not wait for it.
        process.returncode = _KILLED


def execute(plan: Plan, runner: Runner) -> Outcome:
    """Do the plan's steps in order and stop at the first that fails."""
    for step in plan.steps:
        outcome = _do(step, runner)
        if not outcome.done:
            return outcome
    return Outcome()


def _do(step: Step, runner: Runner) -> Outcome:
    if isinstance(step, Unchanged):
        return _compare(step)
    if isinstance(step, ManualStep):
        return Outcome(step, StepFailure.MANUAL, step.what)
    if not isinstance(step, Run) and not step.elevate:
        try:
            _do_here(step)
        except OSError as error:
            # Here a directory is missing; elsewhere this error means that there is no such tool.
            trouble = StepFailure.FAILED if isinstance(error, FileNotFoundError) else _trouble_of(error)
            return Outcome(step, trouble, f"{step.path}: {error.strerror}")
        return Outcome()
    match runner.run(lower(step)):
        case NotFinished(trouble, detail):
            return Outcome(step, trouble, detail)
        case Finished(code=0):
            return Outcome()
        case Finished() as finished:
            read_only = "Read-only file system" in finished.last_line
            return Outcome(step, StepFailure.READ_ONLY if read_only else StepFailure.FAILED, finished.last_line)


def _compare(step: Unchanged) -> Outcome:
    try:
        found = hashlib.sha256(Path(step.path).read_bytes()).hexdigest()
    except FileNotFoundError:
        found = None
    except OSError as error:
        return Outcome(step, _trouble_of(error), f"{step.path}: {error.strerror}")
    return (
        Outcome() if found == step.sha256 else Outcome(step, StepFailure.CHANGED, f"{step.path} was changed meanwhile")
    )


def _do_here(step: WriteFile | MakeDirectory | RemoveFile) -> None:
    path = Path(step.path)
    match step:
        case MakeDirectory():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=step.mode, exist_ok=True)
        case RemoveFile():
            path.unlink(missing_ok=True)
        case WriteFile():
            write_atomically(path, step.content, step.mode)


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Write `path` through a temporary file beside it: whole or not at all, `mode` whatever the umask is."""
    # In the same directory: rename(2) does not cross file systems.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sys.platform != "win32":
                os.fchmod(file.fileno(), mode)
            # Before the rename: else a crash could leave an empty file under the final name.
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _trouble_of(error: OSError) -> StepFailure:
    match error:
        case FileNotFoundError():
            return StepFailure.NO_TOOL
        case PermissionError():
            return StepFailure.NOT_PERMITTED
        case _:
            return StepFailure.READ_ONLY if error.errno == errno.EROFS else StepFailure.FAILED
