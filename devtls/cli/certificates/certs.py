"""`devtls certs`: what the register knows of certificates that left the process.

Owns the list and the single certificate as text and JSON. Refuses what is no certificate of this CA.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from devtls.cli.certificates.certificate_choice import chosen
from devtls.cli.certificates.certificate_view import TITLES, record_facts, record_json, record_row
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.table import show_table
from devtls.pki.authority import Authority
from devtls.pki.register import History, joined
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import open_registers

_LABEL_WIDTH = 10


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the certificates that were written to files, signed for others, or given out by ACME: all, or one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, also_expired=False, as_values=False)


@command.command("list")
@click.option("--all", "also_expired", is_flag=True, help="Those that have expired as well.")
@click.option("--json", "as_values", is_flag=True, help="Print them as JSON.")
def list_(*, also_expired: bool, as_values: bool) -> None:
    """List them, the oldest first."""
    now = datetime.now(UTC)
    _, history = _open(now)
    shown = [one for one in history.issued.values() if also_expired or now < one.not_after]
    if as_values:
        click.echo(json.dumps([record_json(history, one, now) for one in shown], indent=2))
    elif shown:
        show_table(TITLES, [record_row(history, one, now) for one in shown])
    else:
        click.echo("There are none. devtls cert NAME makes one.", err=True)


@command.command(short_help="Say everything about one.")
@click.argument("which", metavar="SERIAL|NAME|FILE")
@click.option("--json", "as_values", is_flag=True, help="Print it as JSON: a list, since a name may have several.")
def show(*, which: str, as_values: bool) -> None:
    """Say everything about one: by its serial number or how that begins, a name in it, or its file."""
    now = datetime.now(UTC)
    authorities, history = _open(now)
    found = chosen(history, which, authorities)
    if as_values:
        click.echo(json.dumps([record_json(history, one, now) for one in found], indent=2))
        return
    blocks = [
        "\n".join(f"{label:<{_LABEL_WIDTH}}{text}" for label, text in record_facts(history, one, now).items())
        for one in found
    ]
    click.echo(printable("\n\n".join(blocks)))


def _open(now: datetime) -> tuple[tuple[Authority, ...], History]:
    registers = open_registers(Keystore(Paths.from_environment().state_dir), now)
    history = joined(register.history() for register in reversed(registers))
    if history.damaged:
        lines = ", ".join(str(number) for number in history.damaged)
        click.echo(f"The register has lines that cannot be read: {lines}.", err=True)
    return tuple(register.authority for register in registers), history
