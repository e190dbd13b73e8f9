"""What every trust store answers, whatever the system: the seam between `devtls trust` and one store's peculiarities.

Owns the TrustStore protocol and the words for a store's state. A store is asked in this order: `probe()` (the only
I/O, and it changes nothing), then `state`, `install_plan`, `remove_plan` and `explain`, all pure functions of what
the probe found. After a plan was executed the store is probed again: what a tool says about its own success is never
believed. The types fit a keychain with a dialog, a registry store and a policy file as well as a folder: Facts are
the store's own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from devtls.system.changes.truststore.other_tools import OtherRoot
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import Outcome
from devtls.system.machine.plan import Plan


class Kind(Enum):
    """Who reads a store."""

    SYSTEM = "system"
    BROWSER = "browser"
    RUNTIME = "runtime"


class Status(Enum):
    """Whether a store trusts a root and, when not, what stands in the way."""

    TRUSTED = "trusted"
    ABSENT = "absent"
    NO_TOOL = "no tool"
    SKIPPED = "skipped"
    LOCKED = "locked"
    READ_ONLY = "read-only"
    HANGING = "hanging"
    MANUAL = "by hand"
    FAILED = "failed"


BLOCKED = frozenset({Status.NO_TOOL, Status.LOCKED, Status.READ_ONLY, Status.HANGING, Status.MANUAL, Status.FAILED})
"""States that a probe can find and no plan of ours can change."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """`detail` is half a sentence about the store, `remedy` what a person does about it ("" = nothing to do)."""

    status: Status
    detail: str = ""
    remedy: str = ""


class Facts(Protocol):
    """What a probe found; each store has its own class with at least this."""

    @property
    def roots(self) -> Collection[RootCertificate]:
        """Every devtls root in the store, trusted or not, this machine's or an older one."""

    @property
    def others(self) -> Collection[OtherRoot]:
        """Every root in it that another development tool is known to have made."""


FactsT = TypeVar("FactsT", bound=Facts)


class TrustStore(Protocol[FactsT]):
    """One store: the system's, one NSS database, one keychain."""

    @property
    def name(self) -> str:
        """A group and, where there are several, the place: `system`, `nss:~/.pki/nssdb`."""

    @property
    def kind(self) -> Kind:
        """Who reads it."""

    @property
    def label(self) -> str:
        """What a person calls it: `Debian system store`, `Firefox profile abc.default`."""

    def probe(self) -> FactsT:
        """Look at the store: no change, bounded in time, never raises for a store in a bad state."""

    def state(self, facts: FactsT, fingerprint: str) -> StoreState:
        """Say whether the store trusts the certificate with that SHA-256."""

    def install_plan(self, facts: FactsT, root: RootCertificate) -> Plan:
        """Return what makes the store trust `root`; empty when it does or when nothing can be done."""

    def remove_plan(self, facts: FactsT, fingerprints: Collection[str]) -> Plan:
        """Return what takes exactly those certificates out."""

    def undo_plan(self, before: FactsT, after: FactsT, root: RootCertificate) -> Plan:
        """Return what takes a half-done installation back; empty where it left nothing behind."""

    def read_failure(self, facts: FactsT, outcome: Outcome) -> StoreState:
        """Put a plan that stopped into words: what the tool said, and what to do about it."""

    def explain(self, facts: FactsT, root: RootCertificate) -> str:
        """Return what a person does by hand when we cannot ("" = the plan's commands say it all)."""
