"""The protocol of a change to this machine: a root in a trust store, a drop-in of a resolver, a sysctl, a service.

Owns the Change protocol and the words for a change's state. The engine calls a change in this order: `probe()` (the
only I/O, and it changes nothing), then `state`, `apply_plan`, `previous_state`, `revert_plan` and `explain`, all pure
functions of the facts that the probe returned. After a plan was executed the change is probed again: the exit code of
a tool proves nothing. Each change has its own type of facts, and what is desired of it is a root for a trust store, a
DesiredState for the parts of `devtls setup`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from devtls.system.machine.execute import Outcome
from devtls.system.machine.plan import Plan


class Part(Enum):
    """The purpose of a change; `devtls setup PART` applies the changes of one part."""

    TRUST = "trust"
    NAMES = "names"
    PORTS = "ports"
    SERVICE = "service"
    FILES = "files"

    @property
    def apply_command(self) -> str:
        """The command that applies changes of this part."""
        return {Part.TRUST: "devtls trust", Part.FILES: "devtls env"}.get(self, "devtls setup")

    @property
    def revert_command(self) -> str:
        """The command that reverts them."""
        return "devtls untrust" if self in (Part.TRUST, Part.FILES) else "devtls unsetup"


SETUP_PARTS = (Part.NAMES, Part.PORTS, Part.SERVICE)
"""The parts of `devtls setup`, in their order."""


class Kind(Enum):
    """The programs that read a trust store."""

    SYSTEM = "system"
    BROWSER = "browser"
    RUNTIME = "runtime"


class Status(Enum):
    """Whether a change is applied and, when it is not, the obstacle."""

    APPLIED = "applied"
    ABSENT = "absent"
    OUTDATED = "outdated"
    NO_TOOL = "no tool"
    SKIPPED = "skipped"
    LOCKED = "locked"
    READ_ONLY = "read-only"
    HANGING = "hanging"
    MANUAL = "manual"
    FAILED = "failed"


# A complement, so that a new status blocks until somebody says that a plan may change it.
BLOCKED = frozenset(Status) - {Status.APPLIED, Status.ABSENT, Status.OUTDATED}
"""States that no plan of ours changes."""


@dataclass(frozen=True, slots=True)
class ChangeState:
    """`detail` is half a sentence about the change, `remedy` the next step of a person ("" = nothing to do)."""

    status: Status
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """The user who runs devtls: name and numbers (the numbers are -1 on Windows)."""

    name: str
    uid: int
    gid: int
    home: PurePath


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The state of names, ports and service that `devtls setup` shall bring about.

    `hostnames` are the exact names that routes serve, in every zone, without wildcards; `wildcards` whether a route has
    one. `http_port` None = no redirects; `pac_port` None = no PAC file, or one on another port at each start. `command`
    is how this devtls is started (absolute interpreter, -m, devtls), `environment` the variables that its service
    needs: those that move devtls' directories, in full.
    """

    user: User
    zones: tuple[str, ...]
    hostnames: tuple[str, ...]
    wildcards: bool = False
    dns_port: int = 15353
    https_port: int = 443
    http_port: int | None = 80
    pac_port: int | None = 15354
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


FactsT = TypeVar("FactsT")
DesiredT_contra = TypeVar("DesiredT_contra", contravariant=True)

PreviousState: TypeAlias = Mapping[str, str]
"""What `revert_plan` has to know, kept in the record: for a setting the state before the change, for a trust store the
roots that were put in (SHA-256 -> the root's id)."""


class Change(Protocol[FactsT, DesiredT_contra]):
    """One change of the machine. Implementations inherit, for the sake of the methods with a default."""

    takes_effect_later: ClassVar[bool] = True
    """Whether its effect may come a moment after its tools ended, so that the second probe waits for it."""
    stays_recorded: ClassVar[bool] = False
    """Whether it is recorded also where it was applied already, and forgotten after a verified revert only."""
    not_applied: ClassVar[str] = "it is not applied"
    """Half a sentence for a change that is not applied although its tools reported success."""
    not_reverted: ClassVar[str] = "a part of it is still there"
    """The same for a change that is not reverted."""

    @property
    def name(self) -> str:
        """The name in the record and in JSON: `names:hosts`, `ports:sysctl`, `system`, `nss:~/.pki/nssdb`."""

    @property
    def part(self) -> Part:
        """The purpose."""

    @property
    def kind(self) -> Kind | None:
        """The readers of a trust store, None for every other change."""
        return None

    @property
    def label(self) -> str:
        """The name for people: `Block in /etc/hosts`, `Firefox profile abc.default`."""

    @property
    def purpose(self) -> str:
        """One sentence: its effect, and what a person should know before agreeing; "" where the label says it."""

    def probe(self) -> FactsT:
        """Read the present state: no change, bounded in time, never raises for a machine in a bad state."""

    def state(self, facts: FactsT, desired: DesiredT_contra) -> ChangeState:
        """Say whether the change is applied as desired."""

    def apply_plan(self, facts: FactsT, desired: DesiredT_contra) -> Plan:
        """Return the steps that apply it; empty when it is applied, or when nothing can be done."""

    def previous_state(self, facts: FactsT, desired: DesiredT_contra) -> PreviousState | None:
        """Return what `revert_plan` has to know later, of the machine before the change; None = nothing to record."""

    def revert_plan(self, facts: FactsT, previous_state: PreviousState) -> Plan:
        """Return the steps that revert exactly our change; empty when nothing of ours is there."""

    def revert_state(self, facts: FactsT, previous_state: PreviousState) -> ChangeState:
        """Say whether anything of ours is there."""
        return ChangeState(Status.APPLIED if self.revert_plan(facts, previous_state) else Status.ABSENT)

    def undo_plan(self, before: FactsT, after: FactsT, previous_state: PreviousState) -> Plan:
        """Return the steps that revert a plan which stopped halfway; empty where it left nothing behind."""
        return self.revert_plan(after, previous_state)

    def read_failure(self, facts: FactsT, outcome: Outcome) -> ChangeState:
        """Put a plan that stopped into words: the message of the tool, and the next step of a person."""

    def explain(self, facts: FactsT, desired: DesiredT_contra) -> str:
        """Return the steps of a person where we cannot do it ("" = the plan's commands say it all)."""


AnyChange: TypeAlias = Change[Any, Any]
