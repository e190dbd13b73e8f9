"""`devtls ca retire`: the roots of earlier CAs out of every store, and those CAs deleted with their keys."""

from __future__ import annotations

from collections.abc import Iterable

import click

from devtls.cli.terminal.change_view import change_json, plan_text, revert_rows
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.prompts import ask, refuse_without_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.terminal.table import show_table
from devtls.operations.changes import planned_results
from devtls.operations.context import Context
from devtls.operations.rollover import RetirementPlan, RetirementResult, apply_retirement, plan_retirement
from devtls.system.changes.change import Kind
from devtls.system.machine.paths import refuse_sudo_for

_ABSENT = "not there"


@click.command(name="retire", short_help="Take the roots of earlier CAs out of every store.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(*, yes: bool, dry_run: bool, as_json: bool) -> None:
    """End the trust that devtls ca renew left: earlier roots go out of every store, and their keys are deleted.

    Certificates that they signed are refused from then on. A renewal that was not finished is dropped as well.
    """
    refuse_sudo_for("ca retire")
    if not (yes or dry_run):
        refuse_without_terminal("ca retire")
    context = Context.here(TerminalReporter())
    plan = plan_retirement(context)
    if dry_run:
        _show_dry_run(context, plan, as_json=as_json)
        return
    if plan.roots:
        _announce(context, plan)
        if not yes:
            ask("Go ahead?")
    result = apply_retirement(context, plan)
    _show(result, as_json=as_json)
    result.raise_for_failure()


def _names(ids: Iterable[str]) -> str:
    return ", ".join(f"devtls root {root_id}" for root_id in ids)


def _show_dry_run(context: Context, plan: RetirementPlan, *, as_json: bool) -> None:
    elevation = context.machine.elevation
    if as_json:
        planned = [change_json(each) for each in planned_results(context, plan.proposals)]
        print_json({"dry_run": True, "retired": list(plan.ids), "stores": planned})
    elif not plan.roots:
        click.echo("There is no earlier CA.")
    else:
        click.echo(f"{_names(plan.ids)} would be retired, with their keys. Nothing was changed.")
        click.echo(plan_text(plan.proposals, elevation, _ABSENT))


def _announce(context: Context, plan: RetirementPlan) -> None:
    click.echo(f"{_names(plan.ids)}: every certificate of it is refused from now on, and its key deleted.", err=True)
    if plan.proposals:
        plans = plan_text(plan.proposals, context.machine.elevation, _ABSENT)
        click.echo(f"This will be done:\n\n{plans}\n", err=True)


def _show(result: RetirementResult, *, as_json: bool) -> None:
    if as_json:
        stores = [change_json(each) for each in result.results]
        print_json({"dry_run": False, "retired": list(result.retired), "stores": stores})
        return
    if not result.retired:
        click.echo("There is no earlier CA: nothing to retire.", err=True)
        return
    if result.results:
        show_table(("Store", "State", "Remedy"), revert_rows(result.results))
    if any(each.changed and each.kind is Kind.BROWSER for each in result.results):
        click.echo("Restart browsers that are open: they remember.", err=True)
