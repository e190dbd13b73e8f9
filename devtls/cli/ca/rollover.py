"""What `devtls ca renew` and `devtls ca retire` work with: the stores of this machine, and the files that list roots.

Owns how both look stores up, how they keep the files of `devtls env` in step, and whom they tell. A running proxy that
cannot be told looks by itself in a moment, so that is a remark and no failure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import click

from devtls.cli import printable, show_error
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import refuse_without_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import DevtlsError, StateError
from devtls.operations.control import find_running, raise_failure
from devtls.pki.authority import Authority
from devtls.system.changes.clientenv.files import renew_files
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.engine import Executor, Proposal
from devtls.system.changes.record import ChangeRecord, Installed
from devtls.system.changes.truststore.discovery import Scope, find_stores
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.changes.truststore.store import AnyStore
from devtls.system.machine.execute import ProcessRunner, write_atomically
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.system.storage.keystore import Keystore
from devtls.web.control_messages import LOOK, RefreshRequest


@dataclass(frozen=True)
class Rollover:
    """One run of a command; everything is looked up once."""

    machine: Machine
    keystore: Keystore
    now: datetime

    @classmethod
    def begin(cls, command: str, *, asks: bool) -> Rollover:
        """Look this machine up; raises Refused under sudo, and where nobody could answer a question."""
        if sys.platform != "win32":
            refuse_sudo(os.environ, os.geteuid(), command)
        if asks:
            refuse_without_terminal(command)
        return cls(
            Machine.here(), Keystore(Paths.from_environment().state_dir, terminal_passphrases()), datetime.now(UTC)
        )

    @cached_property
    def runner(self) -> ProcessRunner:
        """Starts programs as this user, or elevated."""
        return ProcessRunner(self.machine.elevation)

    @cached_property
    def record(self) -> ChangeRecord:
        """The record of every change."""
        return ChangeRecord(self.keystore.state_dir)

    @property
    def executor(self) -> Executor:
        """Executes the plans."""
        return Executor(self.runner, self.machine.elevation, self.record)

    @cached_property
    def entries(self) -> tuple[Installed, ...]:
        """The record as it was when the command began."""
        return self.record.installed()

    def stores(self) -> tuple[AnyStore, ...]:
        """Return every store of this machine."""
        recorded = tuple(dict.fromkeys(entry.store for entry in self.entries))
        return find_stores(self.machine, self.runner, recorded=recorded, scope=Scope.BOTH)

    def list_roots(self, root: RootCertificate) -> None:
        """Make `root` and its older ones what every file lists that a shell may name; raises StateError."""
        file = self.keystore.state_dir / ROOT_FILE
        if file.exists():  # else devtls untrust was the last word
            try:
                write_atomically(file, root.list_pem, 0o644)
            except OSError as error:
                raise StateError(
                    f"{file} cannot be written: {error.strerror or error}.",
                    path=str(file),
                    hint="check who owns the folder and whether the disk is full",
                ) from error
        renew_files(self.keystore.state_dir, root)

    def say_begin(self, proposal: Proposal) -> None:
        """Say which store is next, since it may ask for a password."""
        elevation = self.machine.elevation
        if proposal.plan and (elevation or not proposal.plan.elevated):
            asks = proposal.plan.elevated and elevation is not None and elevation.argv
            hint = f" ({elevation.name} may ask for your password)" if asks and elevation else ""
            click.echo(f"{printable(proposal.change.label)} …{hint}", err=True)


def tell_running() -> tuple[int, ...]:
    """Have every running proxy take over which CA signs; returns the process ids of those that did."""
    told = []
    for one in find_running(Paths.from_environment(), TerminalReporter()):
        try:
            raise_failure(one.send(LOOK, RefreshRequest()).error, f"{one.label} goes on as before: ")
        except DevtlsError as error:
            show_error(error)
        else:
            told.append(one.about.pid)
    return tuple(told)


def root_json(authority: Authority) -> dict[str, object]:
    """Return a root as JSON values."""
    return {
        "id": authority.id,
        "sha256": authority.fingerprint,
        "zones": list(authority.zones),
        "not_after": authority.not_after.isoformat(),
    }


def labels(proposals: Iterable[Proposal]) -> str:
    """Return the names of the stores as a part of a sentence."""
    return ", ".join(printable(proposal.change.label) for proposal in proposals)
