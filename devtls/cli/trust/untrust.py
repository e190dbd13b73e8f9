"""`devtls untrust`: take the root out of every store; with --forget delete the CA as well.

Owns the choice of what is removed: what the record of installations says, the CA's own root, and, without a record or
with --all, every root in a store that is provably made by devtls. Works when the CA is gone. Refuses to guess by name
alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.terminal.change_view import change_json, plan_text, revert_rows
from devtls.cli.terminal.prompts import ask, refuse_without_terminal
from devtls.cli.terminal.table import show_table
from devtls.errors import DevtlsError, StateError
from devtls.system.changes.change import Kind, Part, Status
from devtls.system.changes.clientenv.files import retire_files
from devtls.system.changes.engine import Executor, Proposal, Result, as_planned, revert
from devtls.system.changes.record import ChangeRecord, Installed
from devtls.system.changes.truststore.discovery import Scope, find_stores, is_gone, select_stores
from devtls.system.changes.truststore.other_tools import TOOLS, OtherRoot
from devtls.system.changes.truststore.store import fingerprints_of, may_hold_a_root, propose_untrust
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.leftovers import clear_state

ABSENT = "not there"


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was asked for on the command line."""

    yes: bool
    dry_run: bool
    as_json: bool
    forget: bool
    everything: bool
    also: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """What takes the root out of the stores; `devtls uninstall` has one too."""

    machine: Machine
    keystore: Keystore
    record: ChangeRecord
    entries: tuple[Installed, ...]
    proposals: tuple[Proposal, ...]

    @property
    def has_work(self) -> bool:
        """Whether any store would be changed."""
        return any(proposal.plan for proposal in self.proposals)

    @property
    def fingerprints(self) -> frozenset[str]:
        """The roots that are taken out."""
        return frozenset(each for proposal in self.proposals for each in fingerprints_of(proposal))

    @property
    def recorded(self) -> tuple[str, ...]:
        """The stores that once got a root."""
        return tuple(dict.fromkeys(entry.store for entry in self.entries))


@dataclass(frozen=True, slots=True)
class _Other:
    """A root of another tool, and the stores that it stays in."""

    root: OtherRoot
    labels: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What a person should know about it."""
        where = ", ".join(self.labels)
        text = f"A root of {self.root.tool} ({self.root.name}) stays in: {where}. --also {self.root.tool} removes it."
        return printable(text)


@dataclass(frozen=True, slots=True)
class _Ended:
    """What --forget came to: `kept` is what stays in the state folder, with the reason, `others` in the stores."""

    forgotten: bool
    kept: tuple[str, ...]
    others: tuple[_Other, ...]


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--store", "names", multiple=True, metavar="NAME", help="Only this store: system, nss, java, or a full name."
)
@click.option("--forget", is_flag=True, help="Also delete the CA with its key.")
@click.option(
    "--also", multiple=True, type=click.Choice(TOOLS), help="Also remove the roots that this tool left (repeatable)."
)
@click.option("--all", "everything", is_flag=True, help="Also remove roots of other devtls CAs, such as older ones.")
def command(
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    names: tuple[str, ...],
    forget: bool,
    also: tuple[str, ...],
    everything: bool,
) -> None:
    """Take the root of the development CA out of every store; the CA itself stays unless --forget is given."""
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), "untrust")
    wish = _Wish(yes, dry_run, as_json, forget, everything, also)
    if not (yes or dry_run):
        refuse_without_terminal("untrust")
    paths, machine = Paths.from_environment(), Machine.here()
    removal = look(paths, machine, names=names, everything=everything, also=also)
    keystore = removal.keystore
    _introduce(removal, wish)
    if dry_run:
        return
    if (removal.has_work or (forget and keystore.exists())) and not yes:
        ask("Go ahead?")
    results = carry_out(removal)
    forgotten = forget and keystore.exists()
    if forget:
        keystore.forget()
    if forget or not names:
        retire_client_files(paths.state_dir, removal.fingerprints)
    if keystore.exists() and not names:
        removal.record.begin_trust()  # devtls env then knows that the trust was reverted, recorded or not
    kept = clear_state(paths.state_dir) if forget else ()
    _show(results, keystore, wish, _Ended(forgotten, kept, _others(removal.proposals)))
    judge(results, removal)


def look(
    paths: Paths, machine: Machine, *, names: tuple[str, ...] = (), everything: bool = False, also: Collection[str] = ()
) -> Removal:
    """Look at each store and plan what takes the root out. Raises UnknownStore, StateError for a damaged record."""
    keystore, record, runner = (
        Keystore(paths.state_dir),
        ChangeRecord(paths.state_dir),
        ProcessRunner(machine.elevation),
    )
    entries = record.installed()
    recorded = tuple(dict.fromkeys(entry.store for entry in entries))
    stores = select_stores(find_stores(machine, runner, recorded=recorded, scope=Scope.BOTH), names)
    known = {entry.fingerprint for entry in entries} | _own_roots(keystore)
    proposals = propose_untrust(stores, known, every_root=everything or not record.knows_roots(), also=also)
    return Removal(machine, keystore, record, entries, proposals)


def carry_out(removal: Removal) -> tuple[Result, ...]:
    """Take the root out, store by store."""
    machine, record = removal.machine, removal.record
    executor = Executor(ProcessRunner(machine.elevation), machine.elevation, record)
    results = tuple(revert(proposal, executor) for proposal in removal.proposals)
    for entry in removal.entries:
        if is_gone(entry.store, machine):
            record.drop(Part.TRUST, entry.store, {entry.fingerprint})
    return results


def _own_roots(keystore: Keystore) -> set[str]:
    try:
        pointer = keystore.pointer()
    except StateError as error:  # a damaged CA must not keep its root in the stores: the record still names it
        click.echo(f"{error} Going by the record instead.", err=True)
        return set()
    return {entry.root_sha256 for entry in pointer.entries} if pointer else set()


def _introduce(removal: Removal, wish: _Wish) -> None:
    machine, keystore, proposals = removal.machine, removal.keystore, removal.proposals
    if wish.dry_run and wish.as_json:
        planned = [change_json(as_planned(proposal, machine.elevation)) for proposal in proposals]
        left = [_json_of(other) for other in _others(proposals)]
        click.echo(json.dumps({"dry_run": True, "forget": wish.forget, "stores": planned, "others": left}, indent=2))
        return
    working = [proposal for proposal in proposals if proposal.plan]
    verb = "would" if wish.dry_run else "will"
    text = f"This {verb} be done:\n\n{plan_text(working, machine.elevation, ABSENT)}\n"
    click.echo(text if working else "No store holds the root: nothing to do there.", err=not wish.dry_run)
    for text in staying(proposals):
        click.echo(text, err=True)
    if wish.forget and keystore.exists():
        click.echo(epitaph(keystore, dry_run=wish.dry_run), err=not wish.dry_run)


def staying(proposals: tuple[Proposal, ...]) -> Iterator[str]:
    """Yield a sentence for each root of others that stays."""
    for proposal in proposals:
        others = [root for root in proposal.facts.roots if root.fingerprint not in fingerprints_of(proposal)]
        if others:
            nicknames = ", ".join(root.nickname for root in others)
            label = printable(proposal.change.label)
            yield f"{label} also holds {nicknames}, made elsewhere: --all removes it."
    yield from (other.sentence for other in _others(proposals))


def _others(proposals: Iterable[Proposal]) -> tuple[_Other, ...]:
    """Return the roots of other tools that stay, each once."""
    found: dict[OtherRoot, list[str]] = {}
    for proposal in proposals:
        for root in proposal.facts.others:
            if root.fingerprint not in fingerprints_of(proposal):
                found.setdefault(root, []).append(proposal.change.label)
    return tuple(_Other(root, tuple(labels)) for root, labels in found.items())


def _json_of(other: _Other) -> dict[str, object]:
    root = other.root
    return {"tool": root.tool, "name": root.name, "sha256": root.fingerprint, "stores": list(other.labels)}


def epitaph(keystore: Keystore, *, dry_run: bool) -> str:
    """Return what dies with the CA; a damaged one is named by its folder only."""
    verb = "would" if dry_run else "will"
    try:
        authority = keystore.load(datetime.now(UTC))
    except StateError:
        return f"The CA in {keystore.state_dir} {verb} be deleted; it cannot be read any more.\n"
    return (
        f"The CA {verb} be deleted for good: devtls root {authority.id} ({', '.join(authority.zones)}) with its key.\n"
        "A running devtls serve loses its certificates, and phones and containers where you installed this root\n"
        "need the next one. devtls trust makes a new CA.\n"
    )


def retire_client_files(state_dir: Path, known: Collection[str] = ()) -> None:
    """End the trust of clients whose variable names a file of ours."""
    left = retire_files(state_dir, os.environ, known)
    if left:
        *others, last = left
        names = f"{', '.join(others)} and {last}" if others else last
        here = 'in this shell, eval "$(devtls env --unset)" takes back what devtls env set'
        click.echo(f"\nRemove {names} from your shell's profile, or its devtls env; {here}.\n", err=True)


def _show(results: tuple[Result, ...], keystore: Keystore, wish: _Wish, ended: _Ended) -> None:
    if wish.as_json:
        stores = [change_json(result) for result in results]
        values = {
            "dry_run": False,
            "forgotten": ended.forgotten,
            "kept": list(ended.kept),
            "stores": stores,
            "others": [_json_of(other) for other in ended.others],
        }
        click.echo(json.dumps(values, indent=2))
        return
    show_table(("Store", "State", "Remedy"), revert_rows(results))
    if any(result.changed and result.kind is Kind.BROWSER for result in results):
        click.echo("Restart browsers that are open: they remember.", err=True)
    if wish.forget:
        click.echo("The CA and its key are deleted." if ended.forgotten else "There is no CA to delete.", err=True)
        if ended.kept:
            click.echo(f"Still in {keystore.state_dir}: {', '.join(ended.kept)}.", err=True)
    elif keystore.exists():
        click.echo("The CA is kept: devtls trust uses it again, devtls untrust --forget deletes it.", err=True)


def judge(results: Iterable[Result], removal: Removal) -> None:
    """Raise when a root is left behind; a store that cannot be read only counts when it once got the root."""
    left = [
        result
        for proposal, result in zip(removal.proposals, results, strict=True)
        if result.state.status is not Status.ABSENT
        and (
            result.commands or result.is_applied or result.name in removal.recorded or may_hold_a_root(proposal, result)
        )
    ]
    if left:
        raise DevtlsError(
            f"{', '.join(result.label for result in left)} may still hold the root.",
            hint=left[0].state.remedy or "devtls untrust",
        )
