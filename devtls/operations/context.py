"""The context of an operation: the machine, its paths, the time, and the Reporter that hears of its progress.

Owns the objects that are made once for a whole operation: the runner of programs, the executor of changes, the CA's
keystore. Refuses to know of terminals: a Reporter is told, never asked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from devtls.errors import NoAuthority
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.operations.reporter import Reporter
from devtls.system.changes.engine import Executor
from devtls.system.changes.record import ChangeRecord
from devtls.system.machine.execute import ProcessRunner, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.passphrase import NO_PASSPHRASES, PassphraseSource


@dataclass(frozen=True)
class Context:
    """The machine, its paths, the time and the reporter; one context lives as long as one operation."""

    machine: Machine
    paths: Paths
    now: datetime
    reporter: Reporter
    passphrases: PassphraseSource = NO_PASSPHRASES
    """The source of the passphrase of a locked key, when one is needed."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """The variables of the caller's shell: lists of roots that they name are kept, and files of ours are recognised."""

    @classmethod
    def here(cls, reporter: Reporter, passphrases: PassphraseSource = NO_PASSPHRASES) -> Context:
        """Return the context of this machine, user and moment."""
        return cls(Machine.here(), Paths.from_environment(), datetime.now(UTC), reporter, passphrases)

    @cached_property
    def runner(self) -> Runner:
        """Starts programs as this user, or elevated."""
        return ProcessRunner(self.machine.elevation, self.machine.root)

    @cached_property
    def keystore(self) -> Keystore:
        """The CA."""
        return Keystore(self.paths.state_dir, self.passphrases)

    @cached_property
    def zones(self) -> tuple[Hostname, ...]:
        """The zones of the CA, or those that a new one would have; raises StateError for a CA that cannot be read."""
        try:
            return self.keystore.zones(self.now)
        except NoAuthority:
            return DEFAULT_ZONES

    @cached_property
    def record(self) -> ChangeRecord:
        """The record of every change to this machine."""
        return ChangeRecord(self.paths.state_dir)

    @cached_property
    def executor(self) -> Executor:
        """Executes the plans of changes."""
        return Executor(self.runner, self.machine.elevation, self.record)
