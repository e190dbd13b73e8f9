"""What every measure of `devtls setup` answers, whatever the system: names that resolve, ports, the service.

Owns the Measure protocol and the words for a measure's state. A measure is asked in this order: `probe()` (the only
I/O, and it changes nothing), then `state`, `install_plan`, `keepsake`, `remove_plan` and `explain`, all pure functions
of what the probe found. After a plan was executed the measure is probed again: what a tool says about its own success
is never believed. Facts are the measure's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Any, Protocol, TypeAlias, TypeVar

from devtls.system.machine.execute import Outcome
from devtls.system.machine.plan import Plan


class Part(Enum):
    """What a measure is for: `devtls setup PART` does it alone."""

    NAMES = "names"
    PORTS = "ports"
    SERVICE = "service"


class Status(Enum):
    """Whether a measure is in force and, when not, what stands in the way."""

    APPLIED = "in force"
    ABSENT = "absent"
    OUTDATED = "outdated"
    NO_TOOL = "no tool"
    SKIPPED = "skipped"
    READ_ONLY = "read-only"
    MANUAL = "by hand"
    FAILED = "failed"


BLOCKED = frozenset({Status.NO_TOOL, Status.SKIPPED, Status.READ_ONLY, Status.MANUAL, Status.FAILED})
"""States that no plan of ours changes."""


@dataclass(frozen=True, slots=True)
class ChangeState:
    """`detail` is half a sentence about the measure, `remedy` what a person does about it ("" = nothing to do)."""

    status: Status
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """For whom: the name and numbers of the user who runs devtls (numbers are -1 on Windows)."""

    name: str
    uid: int
    gid: int
    home: PurePath


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of all measures together.

    `hostnames` are the exact names that routes serve, in every zone, without wildcards; `wildcards` whether a route has
    one. `http_port` None = no redirects. `command` is how this devtls is started (absolute interpreter, -m, devtls),
    `environment` what its service must know of the environment: the variables that move devtls' folders, in full.
    """

    user: User
    zones: tuple[str, ...]
    hostnames: tuple[str, ...]
    wildcards: bool = False
    dns_port: int = 15353
    https_port: int = 443
    http_port: int | None = 80
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


FactsT = TypeVar("FactsT")

PreviousState: TypeAlias = Mapping[str, str]
"""What was there before, as far as taking the measure back needs it; kept in the record."""


class Change(Protocol[FactsT]):
    """One change of the machine: the hosts file's block, a drop-in of a resolver, a sysctl, a unit."""

    @property
    def name(self) -> str:
        """A part and the way: `names:hosts`, `ports:sysctl`; what the record calls it."""

    @property
    def part(self) -> Part:
        """What it is for."""

    @property
    def label(self) -> str:
        """What a person calls it: `Block in /etc/hosts`."""

    @property
    def purpose(self) -> str:
        """One sentence: what it does, and what a person should know before saying yes."""

    def probe(self) -> FactsT:
        """Look: no change, bounded in time, never raises for a machine in a bad state."""

    def state(self, facts: FactsT, wish: Wish) -> ChangeState:
        """Say whether the measure is in force as wished."""

    def install_plan(self, facts: FactsT, wish: Wish) -> Plan:
        """Return what puts it in force; empty when it is, or when nothing can be done."""

    def previous_state(self, facts: FactsT) -> PreviousState:
        """Return what `remove_plan` needs to know of the machine as it is before the measure is taken."""

    def remove_plan(self, facts: FactsT, previous_state: PreviousState) -> Plan:
        """Return what takes back exactly what we did; empty when nothing of ours is there."""

    def read_failure(self, facts: FactsT, outcome: Outcome) -> ChangeState:
        """Put a plan that stopped into words: what the tool said, and what to do about it."""

    def explain(self, facts: FactsT, wish: Wish) -> str:
        """Return what a person does by hand when we cannot ("" = the plan's commands say it all)."""


AnyChange: TypeAlias = Change[Any]
