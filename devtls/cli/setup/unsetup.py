"""`devtls unsetup`: take back what `devtls setup` did to this machine, the trust excepted.

Owns the choice of what is taken back: what the record says, and what the machine shows to be ours, also without a
record and without a CA. Refuses to touch anything else. One measure's trouble never stops the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.setup.change_view import password_notice, removal_lines, removal_rows, results_json
from devtls.cli.setup.setup import PARTS
from devtls.cli.terminal.prompts import ask_or_refuse
from devtls.cli.terminal.table import show_table
from devtls.errors import SetupFailed
from devtls.system.changes.change import ChangeState, Part, Status
from devtls.system.changes.discovery import find_taken
from devtls.system.changes.engine import Bench, Proposal, Result, as_planned, propose_removal, take_back
from devtls.system.changes.record import SetupRecord, Taken
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.system.machine.plan import Plan
from devtls.system.storage.keystore import Keystore

_NOTHING = "Nothing of devtls setup is on this machine."


@dataclass(frozen=True)
class Removal:
    """What takes measures back; `strangers` are entries of the record that this devtls knows no measure for."""

    bench: Bench
    parts: tuple[Part, ...]
    proposals: tuple[Proposal, ...]
    strangers: tuple[Taken, ...] = ()

    @property
    def plans(self) -> tuple[Plan, ...]:
        """What would be done."""
        return tuple(proposal.plan for proposal in self.proposals)

    @property
    def has_work(self) -> bool:
        """Whether the machine would be changed."""
        return any(self.plans)

    def lines(self) -> Iterator[str]:
        """Yield each measure that would be taken back, with its exact commands."""
        for proposal in self.proposals:
            if proposal.plan:
                yield f"  {printable(proposal.change.label)}"
                yield from removal_lines(proposal, self.bench.elevation)


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
    removal = look(paths, Machine.here(), [Part(part) for part in parts] or list(Part))
    if dry_run:
        show_dry_run(removal, _NOTHING, as_json=as_json)
        return
    agree(removal, "unsetup", yes=yes)
    results = carry_out(removal)
    if as_json:
        click.echo(results_json(results, dry_run=False))
    elif results:
        show_table(("What", "State", "Remedy"), removal_rows(results))
    else:
        click.echo(_NOTHING)
    judge(results)
    if results and not as_json and Keystore(paths.state_dir).exists():
        click.echo("The CA stays trusted: devtls untrust takes that back, devtls uninstall everything.", err=True)


def look(paths: Paths, machine: Machine, parts: Collection[Part]) -> Removal:
    """Look for what an earlier setup did to these parts. Raises StateError for a damaged record."""
    record, runner = SetupRecord(paths.state_dir), ProcessRunner(machine.elevation)
    entries = tuple(entry for entry in record.entries() if _is_of(entry, parts))
    changes = find_taken(machine, runner, parts, recorded=[entry.name for entry in entries])
    known = {change.name for change in changes}
    strangers = tuple(entry for entry in entries if entry.name not in known)
    bench = Bench(runner, machine.elevation, record)
    return Removal(bench, tuple(parts), propose_removal(changes, entries), strangers)


def _is_of(entry: Taken, parts: Collection[Part]) -> bool:
    part = entry.name.partition(":")[0]
    return part in {part.value for part in parts} or part not in {part.value for part in Part}


def show_dry_run(removal: Removal, nothing: str, *, as_json: bool) -> None:
    """Show what would be taken back; `nothing` says that there is nothing."""
    working = [proposal for proposal in removal.proposals if proposal.plan]
    if as_json:
        click.echo(results_json([as_planned(proposal, removal.bench.elevation) for proposal in working], dry_run=True))
    elif working:
        click.echo("\n".join(["This would be done:\n", *removal.lines(), "\nNothing was changed."]))
    else:
        click.echo(nothing)


def agree(removal: Removal, command: str, *, yes: bool) -> None:
    """Show what will be taken back, and ask, unless the answer is `yes`. Raises Refused."""
    if removal.has_work:
        notice = password_notice(removal.plans, removal.bench.elevation)
        click.echo("\n".join(["This will be done:\n", *removal.lines(), notice]), err=True)
        if not yes:
            ask_or_refuse(command, "on this machine")


def carry_out(removal: Removal) -> tuple[Result, ...]:
    """Take everything back, and return how each measure stands that there was something to do about."""
    bench, results = removal.bench, []
    recorded = {entry.name for entry in bench.record.entries()}
    for proposal in removal.proposals:
        if proposal.plan and (bench.elevation or not proposal.plan.elevated):
            click.echo(f"{printable(proposal.change.label)} …", err=True)
        result = take_back(proposal, bench)
        if proposal.plan or proposal.change.name in recorded:
            results.append(result)
    if Part.NAMES in removal.parts and bench.record.hostnames():
        bench.record.remember_hostnames(())
    return (*results, *(_unknown(entry, bench.record.path) for entry in removal.strangers))


def _unknown(entry: Taken, file: Path) -> Result:
    part = next((part for part in Part if entry.name.startswith(f"{part.value}:")), Part.NAMES)
    remedy = f"Upgrade devtls; or, if you took it back by hand, take its entry out of {file}."
    state = ChangeState(Status.FAILED, "this devtls does not know how to take it back", remedy)
    return Result(entry.name, part, entry.name, state)


def judge(results: Sequence[Result]) -> None:
    """Raise SetupFailed when something is left."""
    left = [result for result in results if result.state.status is not Status.ABSENT]
    if left:
        labels = ", ".join(result.label for result in left)
        raise SetupFailed(f"Still there: {labels}.", hint=left[0].state.remedy or "devtls unsetup")
