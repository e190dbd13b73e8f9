"""`devtls unsetup`: take back what `devtls setup` did to this machine, the trust excepted.

Owns the choice of what is taken back: what the record says, and what the machine shows to be ours, also without a
record and without a CA. Refuses to touch anything else. One change that fails never stops the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.setup.setup import PARTS
from devtls.cli.terminal.change_view import command_lines, password_notice, results_json, revert_rows
from devtls.cli.terminal.prompts import ask_or_refuse
from devtls.cli.terminal.table import show_table
from devtls.errors import SetupFailed
from devtls.system.changes.change import SETUP_PARTS, ChangeState, Part, Status
from devtls.system.changes.discovery import find_applied
from devtls.system.changes.engine import Executor, Proposal, Result, as_planned, propose_reverts, revert
from devtls.system.changes.record import AppliedChange, ChangeRecord
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.system.machine.plan import Plan
from devtls.system.storage.keystore import Keystore

_NOTHING = "Nothing of devtls setup is on this machine."


@dataclass(frozen=True)
class Removal:
    """What reverts changes; `strangers` are entries of the record that this devtls knows no change for."""

    executor: Executor
    parts: tuple[Part, ...]
    proposals: tuple[Proposal, ...]
    strangers: tuple[AppliedChange, ...] = ()

    @property
    def plans(self) -> tuple[Plan, ...]:
        """What would be done."""
        return tuple(proposal.plan for proposal in self.proposals)

    @property
    def has_work(self) -> bool:
        """Whether the machine would be changed."""
        return any(self.plans)

    def lines(self) -> Iterator[str]:
        """Yield each change that would be reverted, with its exact commands."""
        for proposal in self.proposals:
            if proposal.plan:
                yield f"  {printable(proposal.change.label)}"
                yield from command_lines(proposal, self.executor.elevation)


@click.command()
@click.argument("parts", nargs=-1, type=PARTS, metavar="[names|ports|service]...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(*, parts: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take back what devtls setup did: names, ports, the service; or only the parts that are named.

    The CA stays trusted: devtls untrust takes that back, devtls uninstall everything.
    """
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), "unsetup")
    paths = Paths.from_environment()
    removal = look(paths, Machine.here(), [Part(part) for part in parts] or list(SETUP_PARTS))
    if dry_run:
        show_dry_run(removal, _NOTHING, as_json=as_json)
        return
    agree(removal, "unsetup", yes=yes)
    results = carry_out(removal)
    if as_json:
        click.echo(results_json(results, dry_run=False))
    elif results:
        show_table(("What", "State", "Remedy"), revert_rows(results))
    else:
        click.echo(_NOTHING)
    judge(results)
    if results and not as_json and Keystore(paths.state_dir).exists():
        click.echo("The CA stays trusted: devtls untrust takes that back, devtls uninstall everything.", err=True)


def look(paths: Paths, machine: Machine, parts: Collection[Part]) -> Removal:
    """Look for what an earlier setup did to these parts. Raises StateError for a damaged record."""
    record, runner = ChangeRecord(paths.state_dir), ProcessRunner(machine.elevation)
    entries = record.entries(*parts)
    changes = find_applied(machine, runner, parts, recorded=[entry.name for entry in entries])
    known = {change.name for change in changes}
    strangers = tuple(entry for entry in entries if entry.name not in known)
    executor = Executor(runner, machine.elevation, record)
    return Removal(executor, tuple(parts), propose_reverts(changes, entries), strangers)


def show_dry_run(removal: Removal, nothing: str, *, as_json: bool) -> None:
    """Show what would be taken back; `nothing` says that there is nothing."""
    working = [proposal for proposal in removal.proposals if proposal.plan]
    if as_json:
        click.echo(
            results_json([as_planned(proposal, removal.executor.elevation) for proposal in working], dry_run=True)
        )
    elif working:
        click.echo("\n".join(["This would be done:\n", *removal.lines(), "\nNothing was changed."]))
    else:
        click.echo(nothing)


def agree(removal: Removal, command: str, *, yes: bool) -> None:
    """Show what will be taken back, and ask, unless the answer is `yes`. Raises Refused."""
    if removal.has_work:
        notice = password_notice(removal.plans, removal.executor.elevation)
        click.echo("\n".join(["This will be done:\n", *removal.lines(), notice]), err=True)
        if not yes:
            ask_or_refuse(command, "on this machine")


def carry_out(removal: Removal) -> tuple[Result, ...]:
    """Revert everything, and return the state of each change that there was something to do about."""
    executor, results = removal.executor, []
    recorded = {entry.name for entry in executor.record.entries(*removal.parts)}
    for proposal in removal.proposals:
        if proposal.plan and executor.can_run(proposal.plan):
            click.echo(f"{printable(proposal.change.label)} …", err=True)
        result = revert(proposal, executor)
        if proposal.plan or proposal.change.name in recorded:
            results.append(result)
    if Part.NAMES in removal.parts and executor.record.hostnames():
        executor.record.remember_hostnames(())
    return (*results, *(_unknown(entry, executor.record.path) for entry in removal.strangers))


def _unknown(entry: AppliedChange, file: Path) -> Result:
    remedy = f"Upgrade devtls; or, if you reverted it yourself, take its entry out of {file}."
    state = ChangeState(Status.FAILED, "this devtls does not know how to revert it", remedy)
    return Result(entry.name, entry.part, None, entry.name, state)


def judge(results: Sequence[Result]) -> None:
    """Raise SetupFailed when something is left."""
    left = [result for result in results if result.state.status is not Status.ABSENT]
    if left:
        labels = ", ".join(result.label for result in left)
        raise SetupFailed(f"Still there: {labels}.", hint=left[0].state.remedy or "devtls unsetup")
