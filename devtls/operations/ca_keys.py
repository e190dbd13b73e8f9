"""The private keys of the CA at rest: the root's, which was dropped or kept, and the intermediates', locked or not.

Owns under which passphrase each of them is encrypted. Refuses to write the root's key without one, and to speak for a
root whose key is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from devtls.errors import Refused
from devtls.operations.context import Context
from devtls.pki.authority import Authority
from devtls.system.machine.private_files import read_private_file
from devtls.system.storage.ca_directory import Locks
from devtls.system.storage.certificate_files import refuse_to_overwrite, write_files
from devtls.system.storage.generation import plain_key
from devtls.system.storage.keyring_entry import drop_from_keyring, to_keyring
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import LockedKey, Unlocker, lock
from devtls.system.storage.passphrase import PassphraseSource

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

_ROOT_KEY = "the root's key"
_CA_KEY = "the CA's key"


@dataclass(frozen=True, slots=True)
class RootKeyStatus:
    """The CA, and the file with its root's key; None = the key is not here."""

    authority: Authority
    file: Path | None


def root_key_status(context: Context) -> RootKeyStatus:
    """Say whether the root's key was kept. Raises what `Keystore.load` raises."""
    authority = context.keystore.load(context.now)
    return RootKeyStatus(authority, context.keystore.root_key_file(authority))


def root_key_lock(passphrases: PassphraseSource) -> Locks:
    """Return what encrypts the key of a root that is to be made; the passphrase is asked for now. Raises Refused."""
    # Asked now, before anything is made: a passphrase that is refused leaves no CA behind.
    return Locks(root=partial(lock, passphrase=passphrases.new(_ROOT_KEY)))


def encrypted_root_key(keystore: Keystore, authority: Authority) -> bytes:
    """Return the root's key as it is stored, encrypted; raises Refused for a CA whose root's key is not here."""
    kept = keystore.root_key_file(authority)
    if kept is None and authority.imported:
        raise Refused(
            f"devtls root {authority.id} was made elsewhere, and its key is not here.",
            hint="sign there; or devtls ca renew --keep-root-key makes a CA whose root's key is kept",
        )
    if kept is None:
        raise Refused(
            f"The key of devtls root {authority.id} was dropped when the CA was made, so nobody can sign with it.",
            hint="devtls ca renew --keep-root-key makes a CA whose root's key is kept, under a passphrase",
        )
    return read_private_file(kept)


def open_root_key(context: Context, encrypted: bytes) -> IssuerKey:
    """Return the root's key. Raises WrongPassphrase, StateError when nobody can be asked."""
    return Unlocker(_ROOT_KEY, context.passphrases)(encrypted)


def export_root_key(context: Context, out: Path, *, force: bool) -> None:
    """Write the root's key as PKCS #8 under its own passphrase; `force` replaces a file. Raises Refused, StateError."""
    keystore = context.keystore
    encrypted = encrypted_root_key(keystore, keystore.load(context.now))
    if not force:
        refuse_to_overwrite([out])
    # Opened before it is written: who exports it must know the passphrase that the file will have.
    unlock = Unlocker(_ROOT_KEY, context.passphrases)
    key = unlock(encrypted)
    write_files({out: lock(key, unlock.passphrase)}, {}, force=force)


def lock_ca(context: Context, *, remember: bool) -> None:
    """Encrypt the keys that sign under a new passphrase, which the system's keyring may `remember`. Raises Refused."""
    authority = context.keystore.load(context.now)
    keys = {each.name: each.key for each in authority.intermediates}
    if all(isinstance(key, LockedKey) for key in keys.values()):
        raise Refused("The CA's key is locked already.", hint="devtls ca unlock first, for another passphrase")
    # A crash between two of them may have left one locked: it gets the same passphrase as the others.
    unlock = Unlocker(_CA_KEY, context.passphrases)
    opened = {name: unlock(key.container) if isinstance(key, LockedKey) else key for name, key in keys.items()}
    passphrase = context.passphrases.new(_CA_KEY)
    encrypted = {name: lock(key, passphrase) for name, key in opened.items()}
    # The keyring first: when it refuses (StateError), the keys are still as they were.
    if remember:
        for container in encrypted.values():
            to_keyring(container, passphrase)
    context.keystore.put_keys(authority, encrypted)


def unlock_ca(context: Context) -> None:
    """Store the keys that sign without a passphrase again. Raises Refused when they have none, WrongPassphrase."""
    authority = context.keystore.load(context.now)
    locked = {each.name: each.key.container for each in authority.intermediates if isinstance(each.key, LockedKey)}
    if not locked:
        raise Refused("The CA's key is not locked.", hint="devtls ca lock")
    unlock = Unlocker(_CA_KEY, context.passphrases)
    context.keystore.put_keys(authority, {name: plain_key(unlock(each)) for name, each in locked.items()})
    # Last: a failure before would leave a locked key whose passphrase nobody remembers.
    for container in locked.values():
        drop_from_keyring(container)
