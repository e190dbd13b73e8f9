"""`devtls ca lock` and `devtls ca unlock`: the key that signs under a passphrase, or as it is.

Owns both directions. Refuses nothing that was asked for with the right passphrase. While the key is locked,
`devtls serve` asks once when it starts, and other commands when they sign.
"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.errors import Refused
from devtls.pki.authority import Authority
from devtls.system.machine.paths import Paths
from devtls.system.storage.generation import plain_key
from devtls.system.storage.keyring_entry import drop_from_keyring, to_keyring
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import LockedKey, Unlocker, lock

WHAT = "the CA's key"


@click.command(name="lock", short_help="Put the key that signs under a passphrase.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the new passphrase from this descriptor.")
@click.option("--keyring", "remember", is_flag=True, help="Let the system's keyring remember it (extra: keyring).")
def lock_command(*, passphrase_fd: int | None, remember: bool) -> None:
    """Put the key that signs under a passphrase: what lies on disk is then of no use to a thief.

    devtls serve asks once when it starts (or reads --passphrase-fd), other commands when they sign something.
    """
    keystore, authority = _load()
    if isinstance(authority.intermediate.key, LockedKey):
        raise Refused("The CA's key is locked already.", hint="devtls ca unlock first, for another passphrase")
    passphrase = terminal_passphrases(passphrase_fd).new(WHAT)
    container = lock(authority.intermediate.key, passphrase)
    if remember:
        to_keyring(container, passphrase)
    keystore.put_key(authority, container)
    click.echo("The CA's key is locked. A devtls serve that runs goes on with it; the next start asks.", err=True)


@click.command(name="unlock", short_help="Take the passphrase from the key that signs.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from this descriptor.")
def unlock_command(*, passphrase_fd: int | None) -> None:
    """Take the passphrase from the key that signs: from then on nobody is asked."""
    keystore, authority = _load()
    key = authority.intermediate.key
    if not isinstance(key, LockedKey):
        raise Refused("The CA's key is not locked.", hint="devtls ca lock")
    keystore.put_key(authority, plain_key(Unlocker(WHAT, terminal_passphrases(passphrase_fd))(key.container)))
    drop_from_keyring(key.container)
    click.echo("The CA's key is not locked any more.", err=True)


def _load() -> tuple[Keystore, Authority]:
    keystore = Keystore(Paths.from_environment().state_dir)
    return keystore, keystore.load(datetime.now(UTC))
