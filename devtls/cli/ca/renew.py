"""`devtls ca renew`: a new CA beside the present one, trusted wherever that one is, which signs from then on."""

from __future__ import annotations

import click

from devtls.cli.ca.rollover_view import ABSENT, carry_out_rollover, root_json
from devtls.cli.terminal.change_view import change_json, plan_text
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import refuse_without_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.names import parse_zone
from devtls.operations.changes import planned_results
from devtls.operations.context import Context
from devtls.operations.rollover import RenewalPreview, prepare_renewal, preview_renewal
from devtls.system.machine.paths import refuse_sudo_for
from devtls.system.machine.suffixes import is_public_suffix


@click.command(name="renew", short_help="Make a new CA that takes over, the old root staying trusted.")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="One more zone for the new CA (repeatable).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--anyway", is_flag=True, help="Switch although a store does not trust the new root.")
@click.option("--keep-root-key", is_flag=True, help="Keep the new root's key, under a passphrase: for teams.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read that passphrase from this descriptor.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    zones: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    anyway: bool,
    keep_root_key: bool,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Make a new CA that takes over from the present one, before that one ends or for one more zone.

    The new root is put into every store that has the present one; only then does the new CA sign, and a running
    devtls serve takes it over while connections go on. The old root stays trusted until devtls ca retire.
    """
    more = tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones)
    refuse_sudo_for("ca renew")
    if not (yes or dry_run):
        refuse_without_terminal("ca renew")
    context = Context.here(TerminalReporter(), terminal_passphrases())
    if dry_run:
        _show_preview(context, preview_renewal(context, more), as_json=as_json)
    else:
        plan = prepare_renewal(context, more, terminal_passphrases(passphrase_fd) if keep_root_key else None)
        carry_out_rollover(context, plan, yes=yes, anyway=anyway, as_json=as_json)


def _show_preview(context: Context, preview: RenewalPreview, *, as_json: bool) -> None:
    present, zones, proposals = preview.present, preview.zones, preview.proposals
    if as_json:
        planned = [change_json(each) for each in planned_results(context, proposals)]
        values = {
            "dry_run": True,
            "renewal_brings": list(present.profile_gaps),
            "older": root_json(present),
            "zones": list(zones),
            "stores": planned,
        }
        print_json(values)
        return
    click.echo(f"A CA would be made for {', '.join(zones)}, beside devtls root {present.id}; ID stands for its number.")
    if present.profile_gaps:
        click.echo(f"What the present one lacks: {' '.join(present.profile_gaps)}")
    if proposals:
        click.echo(f"This would be done:\n\n{plan_text(proposals, context.machine.elevation, ABSENT)}\n")
    click.echo("Then it would sign. Nothing was changed.")
