"""Execution of plans: the half of a change that touches the machine.

Owns starting programs (never through a shell), their time limits, and turning their output into an Outcome. Refuses
to go on after a step that failed: the rest of that plan is not run; and to elevate a program, or to let root touch a
file, that somebody else than root could swap (looked at right before it starts). Strategy: output goes to unnamed
temporary files, not pipes, so that a grandchild that outlives a killed tool cannot hang us; a program that is not
elevated gets a session of its own, so that it cannot ask for a password on the terminal behind our back and is killed
with all its children. Programs work in `/`: none finds a module or a library in the directory of a project. Elevated
ones get none of the user's variables, and a file that one wrote is read again, and removed where it holds anything
else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import IO, Protocol

from devtls.system.machine.elevation import ELEVATED_PATH, refusal_to_elevate, refusal_to_touch
from devtls.system.machine.plan import (
    Command,
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

if sys.platform != "win32":
    import fcntl
    import pwd

_KEPT_OUTPUT = 8 << 20
_KILLED = -9  # by SIGKILL, as subprocess says it; Windows knows no such signal
# What tools say is compared with English texts, such as "Read-only file system" below.
_ENGLISH = {"LC_ALL": "C.UTF-8"}
_UMASK, _USUAL_MODE = 0o022, 0o644
# What sudo, doas and pkexec ask for a password with: on a terminal, in a window, or by a key.
_ASKING = (
    *("TERM", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
    *("SUDO_ASKPASS", "SSH_AUTH_SOCK", "KRB5CCNAME"),
)
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
    UNSAFE = "unsafe"
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
    """Starts real programs; `elevation` None means that an elevated step cannot be run.

    `root` is the root of the file system: below another one than "/" this user is taken for root.
    """

    elevation: Elevation | None = None
    root: Path = Path("/")

    def run(self, run: Run) -> Finished | NotFinished:
        """Start `run`, wait at most its time limit, and return how it ended."""
        if run.elevate and self.elevation is None:
            return NotFinished(StepFailure.NO_ELEVATION, "neither sudo, doas nor pkexec is installed")
        if run.elevate and (why := self._refusal(run)):
            return NotFinished(StepFailure.UNSAFE, why)
        asks = run.elevate and bool(self.elevation and self.elevation.argv)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _fed(run.stdin) as fed:
            try:
                process = subprocess.Popen(
                    elevated_argv(run, self.elevation),
                    stdin=fed,
                    stdout=out,
                    stderr=err,
                    env=_environment(run, asks=asks),
                    # Interpreters look for modules in the directory that they are started in.
                    cwd=None if sys.platform == "win32" else "/",
                    # sudo asks on the controlling terminal, which a new session does not have (setsid(2)).
                    start_new_session=not asks,
                    # Files of the system are for everybody to read; sudo adds the caller's umask to its own.
                    umask=_UMASK if run.elevate else -1,
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

    def _refusal(self, run: Run) -> str:
        """Return why an elevated command must not be started ("" = it may): paths may be others than they were."""
        touched = (refusal_to_touch(Path(path), self.root) for path in run.touches)
        return refusal_to_elevate(Path(run.argv[0]), self.root) or next(filter(None, touched), "")


def _environment(run: Run, *, asks: bool) -> dict[str, str]:
    """Return the variables of a command; `asks` leaves an elevated one those that sudo asks for a password with.

    Whatever a shell of the user's holds could have a tool of root load code: LD_PRELOAD, JAVA_TOOL_OPTIONS,
    OPENSSL_CONF, PYTHONPATH. sudo drops most, and hands on others as sudoers(5) says; HOME, for one, on macOS.
    """
    if not run.elevate or sys.platform == "win32":  # where nothing is elevated in this way
        return {**os.environ, **run.env, **_ENGLISH}
    kept = {name: os.environ[name] for name in _ASKING if name in os.environ} if asks else {}
    return {**kept, **_ENGLISH, "PATH": ELEVATED_PATH, "HOME": _home_of_root()}


def _home_of_root() -> str:
    if sys.platform != "win32":
        with contextlib.suppress(KeyError):  # a container may have no user database
            return pwd.getpwuid(0).pw_dir
    return "/"


def _fed(content: bytes | None) -> IO[bytes]:
    """Return a program's standard input, at its beginning; what nobody can change any more, where the system can."""
    if content is None:
        return Path(os.devnull).open("rb")
    if sys.platform != "linux":
        fed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        fed.write(content)
    else:
        fed = os.fdopen(os.memfd_create("devtls", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
        fed.write(content)
        fed.flush()
        # Any program of this user could open it through /proc while a password is typed (fcntl(2), File Sealing).
        fcntl.fcntl(fed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    fed.seek(0)
    return fed


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
    return _run_elevated(step, runner)


def _run_elevated(step: Command, runner: Runner) -> Outcome:
    """Run the commands of a step; a file that is not as it should be is removed, if root wrote it for us."""
    for number, run in enumerate(lower(step)):
        outcome = _run_one(step, run, runner)
        if not outcome.done:
            # Not after the first: who gave no password for it would be asked for another.
            if number and isinstance(step, WriteFile) and step.replaces:
                _remove(step.beside, runner)
            return outcome
    if not isinstance(step, WriteFile):
        return Outcome()
    outcome = _read_again(step)
    # With no mode of its own it was written into a file that was there before.
    if not outcome.done and step.mode is not None:
        _remove(step.path, runner)
    return outcome


def _remove(path: PurePath, runner: Runner) -> None:
    for run in lower(RemoveFile(path, elevate=True)):
        runner.run(run)


def _run_one(step: Command, run: Run, runner: Runner) -> Outcome:
    match runner.run(run):
        case NotFinished(trouble, detail):
            return Outcome(step, trouble, detail)
        case Finished(code=0):
            return Outcome()
        case Finished() as finished:
            read_only = "Read-only file system" in finished.last_line
            return Outcome(step, StepFailure.READ_ONLY if read_only else StepFailure.FAILED, finished.last_line)


def _read_again(step: WriteFile) -> Outcome:
    """Return how an elevated write went: a tool's word for it is not taken."""
    try:
        found = Path(step.path).read_bytes()
    except PermissionError:  # a file that only root may read cannot be compared
        return Outcome()
    except OSError as error:
        return Outcome(step, StepFailure.FAILED, f"{step.path} was not written: {error.strerror}")
    if found == step.content:
        return Outcome()
    return Outcome(step, StepFailure.FAILED, f"{step.path} does not hold what was written")


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
            write_atomically(path, step.content, _USUAL_MODE if step.mode is None else step.mode)


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
