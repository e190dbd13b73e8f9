"""`devtls revoke SERIAL|NAME|FILE`: certificates are put on the CRL, which is signed and published at once."""

from __future__ import annotations

import re
from typing import get_args

import click

from devtls.cli.certificates.revocation_view import show_revocation
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.context import Context
from devtls.operations.revocation import apply_revocation, plan_revocation
from devtls.pki.register import RevocationReason
from devtls.system.machine.paths import refuse_sudo_for


class _ReasonChoice(click.Choice[str]):
    """A reason as it is written here, or as in RFC 5280 and OpenSSL (`keyCompromise`, `certificateHold`)."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the reason in our spelling."""
        # Without the replacement cACompromise (RFC 5280 5.3.1) would be split behind its first letter.
        ours = re.sub("(?<=[a-z])[A-Z]", lambda capital: f"-{capital[0]}", value.replace("cACo", "caCo")).lower()
        return super().convert("hold" if ours == "certificate-hold" else ours, param, ctx)


@click.command()
@click.argument("which", metavar="SERIAL|NAME|FILE")
@click.option(
    "--reason",
    type=_ReasonChoice(get_args(RevocationReason)),
    default="unspecified",
    metavar="REASON",
    help=f"{', '.join(get_args(RevocationReason)[1:])}; unspecified by default.",
)
@click.option("--passphrase-fd", type=int, metavar="N", help="Read a passphrase (locked CA, root's key) from here.")
@click.option("--json", "as_values", is_flag=True, help="Print the result as JSON.")
def command(*, which: str, reason: RevocationReason, passphrase_fd: int | None, as_values: bool) -> None:
    """Revoke a certificate: by its serial number or how that begins, its file, or a name in it.

    A name means every certificate that holds it, those in the memory of a running devtls serve included: it shows the
    name with another key from then on. The CRL is signed and published at once. Only a hold can be released, with
    devtls unrevoke. An intermediate (devtls ca intermediate) needs the root's key, and its passphrase.
    """
    refuse_sudo_for("revoke")
    context = Context.here(TerminalReporter(), terminal_passphrases(passphrase_fd))
    show_revocation(apply_revocation(context, plan_revocation(context, which, reason)), as_values=as_values)
