"""The output of `devtls setup`: its plan and its result, as text for people and as JSON for programs.

Owns the wording, the layout and the shape of the JSON documents. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from devtls.cli.terminal import change_view
from devtls.cli.terminal.change_view import change_json, change_rows, password_notice, plan_lines
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.table import show_table
from devtls.cli.trust.trust_view import ABSENT, planned_trust_json, show_rest, trust_json
from devtls.doctor.health.finding import counted
from devtls.operations.changes import planned_results
from devtls.operations.context import Context
from devtls.operations.desired_state import EXAMPLE
from devtls.operations.setup import SetupPlan, SetupResult
from devtls.system.changes.change import DesiredState


def plan_text(context: Context, plan: SetupPlan) -> str:
    """Return every part with its changes and their exact commands."""
    elevation, lines = context.machine.elevation, []
    if plan.trust:
        lines = ["Trust:", change_view.plan_text(plan.trust.proposals, elevation, ABSENT)]
    lines += plan_lines(plan.proposals, elevation, plan.request.parts)
    if plan.is_an_example:
        lines += ["", f"No route is known yet, so the names are those of {EXAMPLE}; devtls setup names adds yours."]
    return "\n".join(lines).lstrip("\n") + "\n" + password_notice(plan.plans, elevation)


def summary(context: Context, plan: SetupPlan) -> str:
    """Return the whole plan in one line: it is read last, above the question."""
    stores = sum(bool(proposal.plan) for proposal in plan.trust.proposals) if plan.trust else 0
    parts = dict.fromkeys(proposal.change.part.value for proposal in plan.proposals if proposal.plan)
    words = [*([f"the root into {counted(stores, 'store')}"] if stores else []), *parts]
    elevation = context.machine.elevation
    elevated = sum(each.elevated for each in plan.plans)
    rights = f"; {elevation.name} for {elevated} of them" if elevated and elevation and elevation.argv else ""
    return f"In short: {', '.join(words)}{rights}. devtls unsetup and devtls untrust revert all of it."


def nothing_to_do(plan: SetupPlan) -> str:
    """Return the line for a machine on which everything is applied."""
    parts = [*(["trust"] if plan.trust else []), *(part.value for part in plan.request.parts)]
    return f"Everything is applied already: {', '.join(parts)}."


def show_result(result: SetupResult) -> None:
    """Show a table of the stores and the other changes, the proof, and the manual steps."""
    trust = result.trust
    if rows := [*(change_rows(trust.stores, ABSENT) if trust else []), *change_rows(result.changes)]:
        show_table(("What", "State", "Remedy"), rows)
    else:
        click.echo("Nothing needs to be set up on this system.")
    if trust:
        show_rest(trust)
    for manual in dict.fromkeys(change.manual for change in result.changes if change.manual):
        click.echo(f"\nManually: {printable(manual)}", err=True)
    if trust and trust.changed_a_browser:
        click.echo("\nRestart browsers that are open: they keep what they read before.", err=True)


def next_step(desired: DesiredState) -> str:
    """Return the command to go on with, for a name that resolves now."""
    host = next(_examples(desired), f"{EXAMPLE}.{desired.zones[0]}")
    short = host.removesuffix(f".{desired.zones[0]}")
    url = f"https://{host}" + ("" if desired.https_port == 443 else f":{desired.https_port}")
    return f"Next: devtls serve {short}=3000, where 3000 is your app's port; then open {url}"


def _examples(desired: DesiredState) -> Iterator[str]:
    """Yield names to try, the best first: `app` in the first zone, else any other in it."""
    zone = desired.zones[0]
    below = [name for name in desired.hostnames if name.endswith(f".{zone}")]
    yield from (name for name in below if name == f"{EXAMPLE}.{zone}")
    yield from below


def planned_json(context: Context, plan: SetupPlan) -> dict[str, object]:
    """Return a dry run as JSON values."""
    return {
        "dry_run": True,
        "hostnames": list(plan.desired.hostnames),
        "trust": planned_trust_json(context, plan.trust) if plan.trust else None,
        "measures": [change_json(change) for change in planned_results(context, plan.proposals)],
    }


def setup_json(plan: SetupPlan, result: SetupResult) -> dict[str, object]:
    """Return a result as JSON values."""
    return {
        "dry_run": False,
        "complete": result.complete,
        "hostnames": list(plan.desired.hostnames),
        "trust": trust_json(result.trust) if result.trust else None,
        "measures": [change_json(change) for change in result.changes],
    }
