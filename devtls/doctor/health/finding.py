"""What `devtls doctor` says: findings, each with its reason, the command that mends it, and what `--fix` may do.

Owns the shape. Refuses a finding without a sentence of its own: what is wrong, why it matters and what to do stand on
their own feet, so that a person and a program read the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Level(Enum):
    """How bad it is. The last two are worth an exit code: something is to be mended."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    TROUBLE = "trouble"


MENDABLE = (Level.WARNING, Level.TROUBLE)

_PROGRAMS = frozenset(["chmod", "devtls", "eval", "export", "flatpak", "printf", "sudo", "unset"])
"""What a command to paste begins with."""
_PLAIN_COMMANDS = frozenset({"devtls trust", "devtls untrust"})


class Section(Enum):
    """What a finding is about, in the order in which people read it."""

    CA = "CA"
    STORES = "Stores"
    BROWSERS = "Browsers"
    CLIENTS = "Clients"
    SHELL = "Shell"
    PROJECT = "Project"
    NAMES = "Names"
    PORTS = "Ports"
    SERVICE = "Service"
    MACHINE = "Machine"


@dataclass(frozen=True, slots=True)
class CloseToOthers:
    """Take other users' rights from files and folders of ours."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class InstallRoot:
    """Put the root into one store, which takes no administrator."""

    store: str


@dataclass(frozen=True, slots=True)
class RemoveRoots:
    """Take roots that an earlier CA of this state folder left out of one store, which takes no administrator."""

    store: str
    fingerprints: frozenset[str]


@dataclass(frozen=True, slots=True)
class RenewFiles:
    """Make the files of `devtls env` anew for the CA of today."""

    paths: tuple[Path, ...]


Fix = CloseToOthers | InstallRoot | RemoveRoots | RenewFiles
"""What `--fix` may do: the user's own files, no administrator, nothing that cannot be made again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    `id` is for programs and does not change; `subject` tells several findings with one id apart (a store, a port).
    `what` and `why` are sentences. `mend` is a command to paste or, where there is none, an instruction: `is_command`
    tells them apart.
    """

    id: str
    section: Section
    level: Level
    what: str
    why: str = ""
    mend: str = ""
    subject: str = ""
    fix: Fix | None = None

    @property
    def is_command(self) -> bool:
        """Whether `mend` can be pasted into a shell as it is."""
        return self.mend.split(" ")[0] in _PROGRAMS and not re.search(r", (then|or) |\.\Z| … ", self.mend)

    @property
    def wrong(self) -> bool:
        """Whether there is something to mend."""
        return self.level in MENDABLE


def mends(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return what to do, worst first, nothing twice."""
    order = sorted(
        (each for each in findings if each.wrong and each.mend), key=lambda each: each.level is Level.WARNING
    )
    return tuple(dict.fromkeys(each.mend for each in order))


def as_command(hint: str) -> str:
    """Return a hint in the words of our errors, `this, then that`, as a shell takes it, where that is all it is."""
    first, then, second = hint.partition(", then ")
    both = then and first.split(" ")[0] in _PROGRAMS and second in _PLAIN_COMMANDS
    return f"{first} && {second}" if both else hint


def listed(names: Iterable[str], most: int = 4) -> str:
    """Return names as a part of a sentence, the many shortened."""
    every = list(dict.fromkeys(names))
    if len(every) > most:
        return f"{', '.join(every[: most - 1])} and {len(every) - most + 1} more"
    return " and ".join([", ".join(every[:-1]), every[-1]]) if len(every) > 1 else "".join(every)
