"""How `devtls ca renew` and `devtls ca import` show that one CA takes over from another, and ask for it once."""

from __future__ import annotations

from datetime import datetime

import click

from devtls.cli.terminal.change_view import change_json, change_rows, plan_text
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.prompts import ask
from devtls.cli.terminal.table import show_table
from devtls.errors import Refused
from devtls.operations.context import Context
from devtls.operations.rollover import RolloverPlan, RolloverResult, abandon_rollover, apply_rollover
from devtls.pki.authority import Authority
from devtls.system.changes.change import Kind

ABSENT = "not trusted"


def carry_out_rollover(context: Context, plan: RolloverPlan, *, yes: bool, anyway: bool, as_json: bool) -> None:
    """Show the plan, ask, apply it and show the result. Raises Refused for a no, TrustFailed as `RolloverResult`."""
    _announce(context, plan)
    if not yes:
        try:
            ask("Go ahead?")
        except Refused:
            # The next CA is on disk by now; a no must leave nothing behind.
            abandon_rollover(context, plan)
            raise
    result = apply_rollover(context, plan, anyway=anyway)
    if as_json:
        print_json(_values(result))
    else:
        _show(result, context.now)
    result.raise_for_failure()


def root_json(authority: Authority) -> dict[str, object]:
    """Return a root as JSON values."""
    return {
        "id": authority.id,
        "sha256": authority.fingerprint,
        "zones": list(authority.zones),
        "not_after": authority.not_after.isoformat(),
    }


def _announce(context: Context, plan: RolloverPlan) -> None:
    if any(proposal.plan for proposal in plan.proposals):
        plans = plan_text(plan.proposals, context.machine.elevation, ABSENT)
        click.echo(f"This will be done, and then it signs:\n\n{plans}\n", err=True)
    elif not plan.proposals:
        click.echo("No store has the present root, so none gets the new one: devtls trust does that.", err=True)


def _values(result: RolloverResult) -> dict[str, object]:
    return {
        "dry_run": False,
        "switched": result.switched,
        "root": root_json(result.plan.following),
        "older": root_json(result.plan.present),
        "stores": [change_json(each) for each in result.results],
        "taken_over_by": list(result.told),
    }


def _show(result: RolloverResult, now: datetime) -> None:
    if result.results:
        show_table(("Store", "State", "Remedy"), change_rows(result.results, ABSENT))
    if not result.switched:
        return
    click.echo(f"\ndevtls root {result.plan.following.id} signs from now on.", err=True)
    for pid in result.told:
        click.echo(f"devtls serve (process {pid}) has taken it over.", err=True)
    click.echo(_about_present(result.plan.present, now), err=True)
    if result.loses_root_key:
        click.echo(
            "The key of the root before was kept, the new one's is not: it signs no further intermediates.\n"
            "If it should: devtls ca renew --keep-root-key",
            err=True,
        )
    if any(each.changed and each.kind is Kind.BROWSER for each in result.results):
        click.echo("Restart browsers that are open. Phones and containers need the new root, too.", err=True)


def _about_present(present: Authority, now: datetime) -> str:
    end = f"{present.not_after:%Y-%m-%d}"
    if present.not_after <= now:
        return f"devtls root {present.id} ended on {end}; devtls ca retire removes it from the stores"
    return f"devtls root {present.id} stays trusted until {end}, or until: devtls ca retire"
