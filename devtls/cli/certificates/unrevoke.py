"""`devtls unrevoke SERIAL|NAME|FILE`: a hold is taken back.

Owns nothing but the order. Refuses every other revocation: a list that forgets one could not be believed.
"""

from __future__ import annotations

import click

from devtls.cli.certificates.revocation_targets import to_release
from devtls.cli.certificates.revoking import Change, change_each, open_desk, publish, root_key_for, show_change
from devtls.system.machine.paths import refuse_sudo_for


@click.command()
@click.argument("which", metavar="SERIAL|NAME|FILE")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase of a locked CA from this descriptor.")
@click.option("--json", "as_values", is_flag=True, help="Print the result as JSON.")
def command(*, which: str, passphrase_fd: int | None, as_values: bool) -> None:
    """Take back a revocation that was a hold (devtls revoke --reason hold): the certificate counts again."""
    refuse_sudo_for("unrevoke")
    desk = open_desk(passphrase_fd)
    targets = to_release(desk, which)
    root_key = root_key_for(desk, targets, passphrase_fd)
    released = change_each(
        desk, targets, lambda register, serials: register.release(serials, desk.now, root_key=root_key)
    )
    show_change(Change("Released", targets, released), desk, publish(desk), as_values=as_values)
