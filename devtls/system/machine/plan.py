"""Plans of changes to the machine, as values: the pure half of every change.

Owns the vocabulary (Step, Plan, Elevation), the translation of each step into one command, and its text as a person
could paste it. Refuses shells: a step is an argv list. Strategy: a store answers with a Plan, `--dry-run` prints it,
and `devtls.system.machine.execute` runs exactly what was printed. Elevated steps only ever start tools of the system,
never ourselves.
A plan for a file that is not ours alone begins with Unchanged: what was shown is done to the file as it was shown, or
not at all.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath, PureWindowsPath
from typing import Literal, TypeAlias, assert_never

_INSTALL = PurePath("/usr/bin/install")
_REMOVE = PurePath("/bin/rm")
_MAKE_DIRECTORY = PurePath("/bin/mkdir")

_MOST_LINES = 200
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

QUICK_S = 15.0
"""Time limit of a step that only touches a file or a database."""
ELEVATED_S = 120.0
"""Time limit of a step that may ask for a password first."""


@dataclass(frozen=True, slots=True)
class Run:
    """Start a program: `argv[0]` is an absolute path; standard input is empty unless `stdin` is given."""

    argv: tuple[str, ...]
    elevate: bool = False
    timeout_s: float = QUICK_S
    stdin: bytes | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put `content` at `path`, whole or not at all; `source` is a public file that already holds the same bytes.

    `owner` are the numbers of user and group, None = the user who writes.
    """

    path: PurePath
    content: bytes = field(repr=False)
    mode: int = 0o644
    elevate: bool = False
    source: PurePath | None = None
    owner: tuple[int, int] | None = None


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
"""The steps that one command does."""

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


def lower(step: Command) -> Run:
    """Return the one command that does `step`, without its elevation."""
    match step:
        case Run():
            return step
        case WriteFile():
            source = "/dev/stdin" if step.source is None else str(step.source)
            owner = () if step.owner is None else ("-o", str(step.owner[0]), "-g", str(step.owner[1]))
            # Behind -- no path is taken for an option.
            argv = (str(_INSTALL), "-m", f"{step.mode:04o}", *owner, "--", source, str(step.path))
            return Run(argv, step.elevate, _limit(step.elevate), step.content if step.source is None else None)
        case MakeDirectory():
            argv = (str(_MAKE_DIRECTORY), "-p", "-m", f"{step.mode:04o}", "--", str(step.path))
            return Run(argv, step.elevate, _limit(step.elevate))
        case RemoveFile():
            return Run((str(_REMOVE), "-f", "--", str(step.path)), step.elevate, _limit(step.elevate))
        case _:
            assert_never(step)


def _limit(elevate: bool) -> float:
    return ELEVATED_S if elevate else QUICK_S


def elevated_argv(run: Run, elevation: Elevation | None) -> tuple[str, ...]:
    """Return the argv that is started; without any way to elevate it shows `sudo`, for the person who has one."""
    if not run.elevate:
        return run.argv
    return (*(elevation.argv if elevation else ("sudo",)), *run.argv)


def render(step: Step, elevation: Elevation | None) -> str:
    """Return `step` as one command to paste into a shell; its standard input follows as a here-document.

    A condition is a comment, and so is a command with more input than anybody reads: pasted, it does nothing.
    """
    if isinstance(step, Unchanged):
        return f"# Only while {step.path} is {'as it is now' if step.sha256 else 'missing'}:"
    if isinstance(step, ManualStep):
        return f"# By hand: {step.what}"
    if not isinstance(step, Run) and PureWindowsPath(step.path).drive:
        return _render_windows(step)
    run = lower(step)
    if PureWindowsPath(run.argv[0]).drive:
        return subprocess.list2cmdline(elevated_argv(run, elevation))
    variables = [f"{name}={shlex.quote(value)}" for name, value in sorted(run.env.items())]
    line = " ".join([*variables, *(shlex.quote(word) for word in elevated_argv(run, elevation))])
    if run.stdin is None:
        return line
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
    return tuple(render(step, elevation) for step in plan.steps)
