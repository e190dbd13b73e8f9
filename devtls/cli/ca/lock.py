"""`devtls ca lock` and `devtls ca unlock`: the key that signs under a passphrase, or without one.

While the key is locked, `devtls serve` asks once when it starts, and other commands when they sign.
"""

from __future__ import annotations

import click

from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.ca_keys import lock_ca, unlock_ca
from devtls.operations.context import Context


@click.command(name="lock", short_help="Encrypt the key that signs under a passphrase.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the new passphrase from this descriptor.")
@click.option("--keyring", "remember", is_flag=True, help="Let the system's keyring remember it (extra: keyring).")
def lock_command(*, passphrase_fd: int | None, remember: bool) -> None:
    """Encrypt the key that signs under a passphrase: an attacker who copies the files cannot use them.

    devtls serve asks once when it starts (or reads --passphrase-fd), other commands when they sign something.
    """
    lock_ca(Context.here(TerminalReporter(), terminal_passphrases(passphrase_fd)), remember=remember)
    click.echo("The CA's key is locked. A devtls serve that runs goes on with it; the next start asks.", err=True)


@click.command(name="unlock", short_help="Store the key that signs without a passphrase.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from this descriptor.")
def unlock_command(*, passphrase_fd: int | None) -> None:
    """Store the key that signs without a passphrase: from then on nobody is asked."""
    unlock_ca(Context.here(TerminalReporter(), terminal_passphrases(passphrase_fd)))
    click.echo("The CA's key is not locked any more.", err=True)
