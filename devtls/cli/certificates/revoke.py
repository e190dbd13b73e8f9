"""`devtls revoke SERIAL|NAME|FILE`: a certificate does not count any more, and everybody who asks is told.

Owns the order: record, sign the list, tell what runs. Whoever runs shows a name with another key from then on.
"""

from __future__ import annotations

import re
from typing import get_args

import click

from devtls.cli.certificates.revocation_targets import to_revoke
from devtls.cli.certificates.revoking import Change, change_each, open_desk, publish, root_key_for, show_change
from devtls.errors import Refused
from devtls.pki.register import RevocationReason
from devtls.system.machine.paths import refuse_sudo_for


class _ReasonChoice(click.Choice[str]):
    """A reason as it is written here, or as in RFC 5280 and OpenSSL (`keyCompromise`, `certificateHold`)."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the reason in our spelling."""
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
    name with another key from then on. The revocation list is signed and published at once. Only a hold can be taken
    back, with devtls unrevoke. An intermediate (devtls ca intermediate) needs the root's key, and its passphrase.
    """
    refuse_sudo_for("revoke")
    desk = open_desk(passphrase_fd)
    targets = to_revoke(desk, which)
    if reason == "ca-compromise" and not all(one.of_root for one in targets):
        raise Refused("ca-compromise is said of intermediates alone.", hint="--reason key-compromise")
    root_key = root_key_for(desk, targets, passphrase_fd)
    fresh = change_each(
        desk, targets, lambda register, serials: register.revoke(serials, reason, desk.now, root_key=root_key)
    )
    show_change(Change("Revoked", targets, fresh, reason), desk, publish(desk), as_values=as_values)
