"""`devtls ca retire`: the roots of earlier CAs out of every store, and those CAs deleted with their keys.

Owns what counts as earlier: the older CAs of a renewal, a renewal that was not finished, and every other root that the
record says this state folder installed. The CA that signs is never touched. Refuses to delete a CA whose root a store
may still hold: then the next run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from devtls.cli.ca.rollover import Rollover, tell_running
from devtls.cli.terminal.change_view import change_json, plan_text, revert_rows
from devtls.cli.terminal.prompts import ask
from devtls.cli.terminal.table import show_table
from devtls.errors import DevtlsError
from devtls.system.changes.change import Kind, Part, Status
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.engine import Proposal, Result, as_planned, revert
from devtls.system.changes.truststore.discovery import is_gone
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.changes.truststore.store import propose_untrust

_ABSENT = "not there"


@click.command(name="retire", short_help="Take the roots of earlier CAs out of every store.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(*, yes: bool, dry_run: bool, as_json: bool) -> None:
    """End what devtls ca renew left trusted: earlier roots go out of every store, and their keys are deleted.

    Certificates that they signed are refused from then on. A renewal that was not finished is dropped as well.
    """
    rollover = Rollover.begin("ca retire", asks=not (yes or dry_run))
    retiring, entries = _retiring(rollover), rollover.entries
    proposals = _holding(rollover, retiring)
    if dry_run:
        _show_dry_run(rollover, retiring, proposals, as_json=as_json)
        return
    if not retiring:
        rollover.keystore.retire(())  # an earlier intermediate of the present root: no store has to change for it
        _show((), (), as_json=as_json)
        return
    _announce(rollover, retiring, proposals)
    if not yes:
        ask("Go ahead?")
    results = tuple(_remove(rollover, proposal) for proposal in proposals)
    for entry in entries:
        if entry.fingerprint in retiring and is_gone(entry.store, rollover.machine):
            rollover.record.drop(Part.TRUST, entry.store, {entry.fingerprint})
    left = tuple(result for result in results if result.state.status is not Status.ABSENT)
    if not left:
        _delete(rollover, retiring)
        tell_running()
    _show(tuple(retiring.values()), results, as_json=as_json)
    if left:
        raise DevtlsError(
            f"{', '.join(result.label for result in left)} may still hold an earlier root, so nothing was deleted.",
            hint=left[0].state.remedy or "devtls ca retire tries again",
        )


def _retiring(rollover: Rollover) -> dict[str, str]:
    """Return fingerprint -> number of each root that is not the present one's; raises NoAuthority."""
    present = rollover.keystore.load_ended_too()
    pointer = rollover.keystore.pointer()
    known = {entry.root_sha256: entry.root_id for entry in (pointer.entries if pointer else ())}
    known |= {entry.fingerprint: entry.id for entry in rollover.entries}
    return {fingerprint: number for fingerprint, number in known.items() if fingerprint != present.fingerprint}


def _holding(rollover: Rollover, retiring: dict[str, str]) -> tuple[Proposal, ...]:
    """Return a proposal for each store that holds such a root, or once got one."""
    if not retiring:
        return ()
    recorded = {entry.store for entry in rollover.entries if entry.fingerprint in retiring}
    return tuple(
        proposal
        for proposal in propose_untrust(rollover.stores(), retiring, every_root=False)
        if proposal.plan or proposal.state.status is Status.APPLIED or proposal.change.name in recorded
    )


def _names(retiring: Iterable[str]) -> str:
    return ", ".join(f"devtls root {number}" for number in retiring)


def _show_dry_run(
    rollover: Rollover, retiring: dict[str, str], proposals: tuple[Proposal, ...], *, as_json: bool
) -> None:
    elevation = rollover.machine.elevation
    if as_json:
        planned = [change_json(as_planned(proposal, elevation)) for proposal in proposals]
        click.echo(json.dumps({"dry_run": True, "retired": list(retiring.values()), "stores": planned}, indent=2))
    elif not retiring:
        click.echo("There is no earlier CA.")
    else:
        click.echo(f"{_names(retiring.values())} would be retired, with their keys. Nothing was changed.")
        click.echo(plan_text(proposals, elevation, _ABSENT))


def _announce(rollover: Rollover, retiring: dict[str, str], proposals: tuple[Proposal, ...]) -> None:
    click.echo(
        f"{_names(retiring.values())}: whatever it signed is refused from now on, and its key deleted.", err=True
    )
    if proposals:
        plans = plan_text(proposals, rollover.machine.elevation, _ABSENT)
        click.echo(f"This will be done:\n\n{plans}\n", err=True)


def _remove(rollover: Rollover, proposal: Proposal) -> Result:
    rollover.say_begin(proposal)
    return revert(proposal, rollover.executor)


def _delete(rollover: Rollover, retiring: dict[str, str]) -> None:
    keystore = rollover.keystore
    present = keystore.load_ended_too()
    rollover.list_roots(RootCertificate(present.id, present.root_der, keystore.state_dir / ROOT_FILE))
    keystore.retire(retiring)


def _show(retired: tuple[str, ...], results: tuple[Result, ...], *, as_json: bool) -> None:
    if as_json:
        stores = [change_json(result) for result in results]
        click.echo(json.dumps({"dry_run": False, "retired": list(retired), "stores": stores}, indent=2))
        return
    if not retired:
        click.echo("There is no earlier CA: nothing to retire.", err=True)
        return
    if results:
        show_table(("Store", "State", "Remedy"), revert_rows(results))
    if any(result.changed and result.kind is Kind.BROWSER for result in results):
        click.echo("Restart browsers that are open: they remember.", err=True)
