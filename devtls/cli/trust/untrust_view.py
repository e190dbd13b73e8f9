"""The output of `devtls untrust` and of its part in `devtls uninstall`: the stores, the roots that stay, the CA.

Owns the wording, the layout and the shape of the JSON documents. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from devtls.cli.terminal.change_view import change_json, plan_text, revert_rows
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.table import show_table
from devtls.operations.changes import planned_results
from devtls.operations.context import Context
from devtls.operations.untrust import RemainingRoot, UntrustPlan, UntrustResult

NOT_THERE = "not there"


def show_plan(context: Context, plan: UntrustPlan, *, dry_run: bool) -> None:
    """Show the commands, the roots that stay, and the CA that is deleted: on stdout when that is the result."""
    elevation, verb = context.machine.elevation, "would" if dry_run else "will"
    text = "No store holds the root: nothing to do there."
    if plan.changes_stores:
        proposals = [proposal for proposal in plan.proposals if proposal.plan]
        text = f"This {verb} be done:\n\n{plan_text(proposals, elevation, NOT_THERE)}\n"
    click.echo(text, err=not dry_run)
    for sentence in remaining_sentences(plan):
        click.echo(sentence, err=True)
    if plan.deletes_authority:
        click.echo(deletion_text(context, plan, dry_run=dry_run), err=not dry_run)


def remaining_sentences(plan: UntrustPlan) -> Iterator[str]:
    """Yield a sentence for each root of other CAs that stays, and for each tool of `--also` that has left none."""
    for label, nicknames in plan.remaining_own_roots:
        yield printable(f"{label} also holds {', '.join(nicknames)}, made elsewhere: --all removes it.")
    for each in plan.remaining_roots:
        root, where = each.root, ", ".join(each.labels)
        yield printable(f"A root of {root.tool} ({root.name}) stays in: {where}. --also {root.tool} removes it.")
    found = {root.tool for proposal in plan.proposals for root in proposal.facts.others}
    for tool in dict.fromkeys(plan.request.also):
        if tool not in found:
            yield f"No store that devtls looks at holds a root of {tool}."


def deletion_text(context: Context, plan: UntrustPlan, *, dry_run: bool) -> str:
    """Return the consequences of deleting the CA; one that cannot be read is named by its directory only."""
    verb, authority = "would" if dry_run else "will", plan.authority
    if authority is None:
        return f"The CA in {context.paths.state_dir} {verb} be deleted; it cannot be read any more.\n"
    return (
        f"The CA {verb} be deleted for good: devtls root {authority.id} ({', '.join(authority.zones)}) with its key.\n"
        "A running devtls serve loses its certificates, and phones and containers where you installed this root\n"
        "need the next one. devtls trust makes a new CA.\n"
    )


def show_result(context: Context, result: UntrustResult) -> None:
    """Show the stores afterwards, and whether the CA was deleted."""
    show_table(("Store", "State", "Remedy"), revert_rows(result.stores))
    if result.changed_a_browser:
        click.echo("Restart browsers that are open: they keep what they read before.", err=True)
    if result.plan.request.forget:
        click.echo("The CA and its key are deleted." if result.forgotten else "There is no CA to delete.", err=True)
        if result.kept:
            click.echo(f"Still in {context.paths.state_dir}: {', '.join(result.kept)}.", err=True)
    elif context.keystore.exists():
        click.echo("The CA is kept: devtls trust uses it again, devtls untrust --forget deletes it.", err=True)


def show_variables(variables: Sequence[str]) -> None:
    """Name the variables of this shell that still name a file of ours."""
    if variables:
        *others, last = variables
        names = f"{', '.join(others)} and {last}" if others else last
        here = 'in this shell, eval "$(devtls env --unset)" reverts what devtls env set'
        click.echo(f"\nRemove {names} from your shell's profile, or its devtls env; {here}.\n", err=True)


def planned_untrust_json(context: Context, plan: UntrustPlan) -> dict[str, object]:
    """Return a dry run as JSON values."""
    return {
        "dry_run": True,
        "forget": plan.request.forget,
        "stores": [change_json(result) for result in planned_results(context, plan.proposals)],
        "others": [_remaining_json(each) for each in plan.remaining_roots],
    }


def untrust_json(result: UntrustResult) -> dict[str, object]:
    """Return a result as JSON values."""
    return {
        "dry_run": False,
        "forgotten": result.forgotten,
        "kept": list(result.kept),
        "stores": [change_json(store) for store in result.stores],
        "others": [_remaining_json(each) for each in result.plan.remaining_roots],
    }


def _remaining_json(each: RemainingRoot) -> dict[str, object]:
    root = each.root
    return {"tool": root.tool, "name": root.name, "sha256": root.fingerprint, "stores": list(each.labels)}
