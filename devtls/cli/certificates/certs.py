"""`devtls certs`: the certificates of the register, as a table, one by one, or as JSON."""

from __future__ import annotations

import click

from devtls.cli.certificates.certificate_view import TITLES, record_facts, record_json, record_row
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.terminal.table import show_table
from devtls.operations.certificate_lookup import open_certificates
from devtls.operations.context import Context

_LABEL_WIDTH = 10


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the certificates that were written to files, signed for others, or given out by ACME: all, or one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, also_expired=False, as_values=False)


@command.command("list")
@click.option("--all", "also_expired", is_flag=True, help="Include those that have expired.")
@click.option("--json", "as_values", is_flag=True, help="Print them as JSON.")
def list_(*, also_expired: bool, as_values: bool) -> None:
    """List the certificates, the oldest first."""
    context = Context.here(TerminalReporter())
    history, now = open_certificates(context).history, context.now
    shown = [one for one in history.issued.values() if also_expired or now < one.not_after]
    if as_values:
        print_json([record_json(history, one, now) for one in shown])
    elif shown:
        show_table(TITLES, [record_row(history, one, now) for one in shown])
    else:
        click.echo("There are none. devtls cert NAME makes one.", err=True)


@command.command(short_help="Show everything about one certificate.")
@click.argument("which", metavar="SERIAL|NAME|FILE")
@click.option("--json", "as_values", is_flag=True, help="Print it as JSON: an array, since a name may have several.")
def show(*, which: str, as_values: bool) -> None:
    """Show everything about one certificate: by its serial number or how that begins, a name in it, or its file."""
    context = Context.here(TerminalReporter())
    registers, now = open_certificates(context), context.now
    history, found = registers.history, registers.find(which)
    if as_values:
        print_json([record_json(history, one, now) for one in found])
        return
    blocks = [
        "\n".join(f"{label:<{_LABEL_WIDTH}}{text}" for label, text in record_facts(history, one, now).items())
        for one in found
    ]
    click.echo(printable("\n\n".join(blocks)))
