"""Plans of changes to the machine, as values: the pure half of every change.

Owns the vocabulary (Step, Plan, Elevation), the translation of each step into commands, and its text as a person could
paste it. Refuses shells: a step is an argv list. Strategy: a store answers with a Plan, `--dry-run` prints it, and
`devtls.system.machine.execute` runs exactly what was printed. Elevated steps only ever start tools of the system, never
ourselves, and what they write comes on standard input: a file of the user's could be swapped for a link to another
while somebody types a password, and root would copy that.
A plan for a file that is not ours alone begins with Unchanged: what was shown is done to the file as it was shown, or
not at all.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath, PureWindowsPath
from typing import Literal, TypeAlias, assert_never

# In full: with sudo, PATH is not to decide what runs as root.
_INSTALL, _TEE, _CHMOD = "/usr/bin/install", "/usr/bin/tee", "/bin/chmod"
_MOVE, _REMOVE, _MAKE_DIRECTORY = "/bin/mv", "/bin/rm", "/bin/mkdir"

_MOST_LINES = 200
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

QUICK_S = 15.0
"""Time limit of a step that only touches a file or a database."""
ELEVATED_S = 120.0
"""Time limit of a step that may ask for a password first."""


@dataclass(frozen=True, slots=True)
class Run:
    """Start a program: `argv[0]` is an absolute path; standard input is empty unless `stdin` is given.

    `source` is a public file with the same bytes as `stdin`, which the text of the command names in their place; it is
    not opened. `touches` are the files that an elevated command reads or writes at paths that it is given.
    """

    argv: tuple[str, ...]
    elevate: bool = False
    timeout_s: float = QUICK_S
    stdin: bytes | None = field(default=None, repr=False)
    env: Mapping[str, str] = field(default_factory=dict)
    source: PurePath | None = None
    touches: tuple[PurePath, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put `content` at `path`; `source` as in Run; `owner` are the numbers of user and group, None = who writes.

    Elevated, `replaces` says that there is a file already, whose place the new one takes by a rename. `tool` is
    `install` where that reads a pipe, on Linux, and `tee` elsewhere; with `tee` a `mode` of None leaves the file's own.
    """

    path: PurePath
    content: bytes = field(repr=False)
    mode: int | None = 0o644
    elevate: bool = False
    source: PurePath | None = None
    owner: tuple[int, int] | None = None
    replaces: bool = False
    tool: Literal["install", "tee"] = "install"

    @property
    def beside(self) -> PurePath:
        """The path at which an elevated command writes it first."""
        return self.path.with_name(f".{self.path.name}.devtls") if self.replaces else self.path


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Make a directory with its parents; an existing one is left as it is."""

    path: PurePath
    mode: int = 0o755
    elevate: bool = False


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove one file; a missing one is no error."""

    path: PurePath
    elevate: bool = False


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Go on only while a file that everybody may read still has the content with this SHA-256 (None: it is missing)."""

    path: PurePath
    sha256: str | None
    elevate: Literal[False] = False


@dataclass(frozen=True, slots=True)
class ManualStep:
    """A step that only a person can do; a plan stops here. `what` describes it."""

    what: str
    elevate: Literal[False] = False


Command: TypeAlias = Run | WriteFile | MakeDirectory | RemoveFile
"""The steps that commands do."""

Step: TypeAlias = Command | Unchanged | ManualStep


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order; empty = nothing to do."""

    steps: tuple[Step, ...] = ()

    @property
    def elevated(self) -> bool:
        """Whether any step needs administrator rights."""
        return any(step.elevate for step in self.steps)

    def __bool__(self) -> bool:
        return bool(self.steps)


@dataclass(frozen=True, slots=True)
class Elevation:
    """How a single command gets administrator rights; an empty `argv` means that this process has them already."""

    name: str = "root"
    argv: tuple[str, ...] = ()


ALREADY_ROOT = Elevation()


def lower(step: Command) -> tuple[Run, ...]:
    """Return the commands that do `step`, without their elevation."""
    match step:
        case Run():
            return (step,)
        case WriteFile():
            return tuple(_lower_write(step))
        case MakeDirectory():
            mode = f"{step.mode:04o}"
            return (_command(step.elevate, _MAKE_DIRECTORY, "-p", "-m", mode, "--", touches=(step.path,)),)
        case RemoveFile():
            return (_command(step.elevate, _REMOVE, "-f", "--", touches=(step.path,)),)
        case _:
            assert_never(step)


def _lower_write(step: WriteFile) -> Iterator[Run]:
    mode, beside = "" if step.mode is None else f"{step.mode:04o}", step.beside
    if step.tool == "install":
        owner = () if step.owner is None else ("-o", str(step.owner[0]), "-g", str(step.owner[1]))
        # uutils' install reads a pipe only where the file is not there yet (its issue 12407): hence the one beside it.
        argv = (_INSTALL, "-m", mode, *owner, "--", "/dev/stdin")
        yield replace(_command(step.elevate, *argv, touches=(beside,)), stdin=step.content, source=step.source)
    else:
        yield replace(_command(step.elevate, _TEE, touches=(beside,)), stdin=step.content, source=step.source)
        if mode:  # root's umask may close it to others
            yield _command(step.elevate, _CHMOD, mode, touches=(beside,))
    if step.replaces:
        yield _command(step.elevate, _MOVE, "-f", "--", touches=(beside, step.path))


def _command(elevate: bool, *argv: str, touches: tuple[PurePath, ...]) -> Run:
    """Return the command whose last arguments are the files that it touches; behind -- no path is an option."""
    return Run((*argv, *map(str, touches)), elevate, _limit(elevate), touches=touches)


def _limit(elevate: bool) -> float:
    return ELEVATED_S if elevate else QUICK_S


def elevated_argv(run: Run, elevation: Elevation | None) -> tuple[str, ...]:
    """Return the argv that is started; without any way to elevate it shows `sudo`, for the person who has one."""
    if not run.elevate:
        return run.argv
    return (*(elevation.argv if elevation else ("sudo",)), *run.argv)


def render(step: Step, elevation: Elevation | None) -> tuple[str, ...]:
    """Return `step` as commands to paste into a shell; standard input follows as a here-document, or names a file.

    A condition is a comment, and so is a command with more input than anybody reads: pasted, it does nothing.
    """
    if isinstance(step, Unchanged):
        return (f"# Only while {step.path} is {'as it is now' if step.sha256 else 'missing'}:",)
    if isinstance(step, ManualStep):
        return (f"# By hand: {step.what}",)
    if not isinstance(step, Run) and PureWindowsPath(step.path).drive:
        return (_render_windows(step),)
    return tuple(_render_run(run, elevation) for run in lower(step))


def _render_run(run: Run, elevation: Elevation | None) -> str:
    if PureWindowsPath(run.argv[0]).drive:
        return subprocess.list2cmdline(elevated_argv(run, elevation))
    variables = [f"{name}={shlex.quote(value)}" for name, value in sorted(run.env.items())]
    line = " ".join([*variables, *(shlex.quote(word) for word in elevated_argv(run, elevation))])
    if run.stdin is None:
        return line
    if run.source is not None:  # the shell opens it, with the rights of the person
        return f"{line} <{shlex.quote(str(run.source))}"
    text = run.stdin.decode("utf-8", "backslashreplace")
    if text.count("\n") > _MOST_LINES:
        return f"# {line}    (with {text.count(chr(10))} lines on standard input)"
    end = "DEVTLS"
    while end in text.split("\n"):  # or what follows in the text would be run
        end += "_"
    return f"{line} <<'{end}'\n{text}{'' if text.endswith(chr(10)) else chr(10)}{end}"


def _render_windows(step: WriteFile | MakeDirectory | RemoveFile) -> str:
    """Return as a line of PowerShell what this process does itself."""
    path = "'" + str(step.path).replace("'", "''") + "'"
    match step:
        case WriteFile():
            wide = step.content[:2] in _UTF16_MARKS
            text = step.content.decode("utf-16" if wide else "utf-8", "backslashreplace").replace("\r\n", "\n")
            encoding = " -Encoding Unicode" if wide else ""
            return f"Set-Content -NoNewline{encoding} -Path {path} -Value @'\n{text}\n'@"
        case MakeDirectory():
            return f"New-Item -Force -ItemType Directory -Path {path}"
        case RemoveFile():
            return f"Remove-Item -Force -Path {path}"
        case _:
            assert_never(step)


def render_plan(plan: Plan, elevation: Elevation | None) -> tuple[str, ...]:
    """Return the plan's commands in order."""
    return tuple(line for step in plan.steps for line in render(step, elevation))
