"""The findings of `devtls doctor`: each with its reason, the command that fixes it, and the change of `--fix`.

Owns the shape. Refuses a finding without a sentence of its own: what is wrong, why it matters and what to do stand on
their own feet, so that a person and a program read the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from devtls.system.changes.engine import Proposal


class Level(Enum):
    """The severity. The last two are worth an exit code: something is to be fixed."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    TROUBLE = "trouble"


FIXABLE = (Level.WARNING, Level.TROUBLE)

_PROGRAMS = frozenset(["chmod", "devtls", "eval", "export", "flatpak", "printf", "sudo", "unset"])
"""What a command to paste begins with."""
_PLAIN_COMMANDS = frozenset({"devtls trust", "devtls untrust"})


class Section(Enum):
    """The subject of a finding, in the order in which people read it."""

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
class Finding:
    """One finding.

    `id` is for programs and does not change; `subject` tells several findings with one id apart (a store, a port).
    `what` and `why` are sentences. `remedy` is a command to paste or, where there is none, an instruction: `is_command`
    tells them apart. `fix` is the change that `--fix` may apply or revert: the user's own files, no administrator,
    nothing that cannot be made again.
    """

    id: str
    section: Section
    level: Level
    what: str
    why: str = ""
    remedy: str = ""
    subject: str = ""
    fix: Proposal | None = None

    @property
    def is_command(self) -> bool:
        """Whether `remedy` can be pasted into a shell as it is."""
        # Sentences begin with words, too: a full stop, an ellipsis or ", then" tell them apart.
        return self.remedy.split(" ")[0] in _PROGRAMS and not re.search(r", (then|or) |\.\Z| … ", self.remedy)

    @property
    def wrong(self) -> bool:
        """Whether there is something to fix."""
        return self.level in FIXABLE


def remedies(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the remedies, the worst finding first, none twice."""
    order = sorted(
        (each for each in findings if each.wrong and each.remedy), key=lambda each: each.level is Level.WARNING
    )
    return tuple(dict.fromkeys(each.remedy for each in order))


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


def counted(number: int, noun: str) -> str:
    """Return a number of things: `1 day`, `2 days`, `0 days`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
