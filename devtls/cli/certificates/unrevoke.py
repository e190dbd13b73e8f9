"""`devtls unrevoke SERIAL|NAME|FILE`: certificates that were only on hold are valid again."""

from __future__ import annotations

import click

from devtls.cli.certificates.revocation_view import show_revocation
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.context import Context
from devtls.operations.revocation import apply_revocation, plan_release
from devtls.system.machine.paths import refuse_sudo_for


@click.command()
@click.argument("which", metavar="SERIAL|NAME|FILE")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase of a locked CA from this descriptor.")
@click.option("--json", "as_values", is_flag=True, help="Print the result as JSON.")
def command(*, which: str, passphrase_fd: int | None, as_values: bool) -> None:
    """Release a certificate that was on hold (devtls revoke --reason hold): it is valid again.

    No other revocation can be released: a CRL that forgets one could not be believed.
    """
    refuse_sudo_for("unrevoke")
    context = Context.here(TerminalReporter(), terminal_passphrases(passphrase_fd))
    show_revocation(apply_revocation(context, plan_release(context, which)), as_values=as_values)
