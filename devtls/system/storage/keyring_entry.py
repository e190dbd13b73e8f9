"""The passphrase of a locked key in the system's keyring, where the extra `keyring` is installed.

Owns the entry's name: SHA-256 of the container (the header, for one of an earlier version), so a copy of the file has
the same entry and another key has none. Refuses nothing when it only looks: without the extra, a service behind it, or
an entry, the passphrase is asked for.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Any

from devtls.errors import StateError

_SERVICE = "devtls"
_V1_MARK, _V1_HEADER_BYTES = b"devtls-key", 42  # containers of earlier versions: `devtls.pki.locked_key`


def from_keyring(container: bytes) -> str:
    """Return the passphrase that the keyring holds for this container, "" for none."""
    if (keyring := _keyring()) is None:
        return ""
    try:
        found: str | None = keyring.get_password(_SERVICE, _name(container))
    except keyring.errors.KeyringError:  # locked, or no service behind it
        return ""
    return found or ""


def to_keyring(container: bytes, passphrase: str) -> None:
    """Store the passphrase of a container; raises StateError where that cannot be."""
    if (keyring := _keyring()) is None:
        raise StateError("The keyring extra is not installed.", hint="pip install 'devtls[keyring]'")
    try:
        keyring.set_password(_SERVICE, _name(container), passphrase)
    except keyring.errors.KeyringError as error:
        raise StateError(f"The keyring takes nothing: {error}.", hint="devtls ca lock without --keyring") from error


def drop_from_keyring(container: bytes) -> None:
    """Forget the passphrase of a container, if the keyring knows it."""
    if (keyring := _keyring()) is None:
        return
    with suppress(keyring.errors.KeyringError):  # there was none
        keyring.delete_password(_SERVICE, _name(container))


def _keyring() -> Any:
    """Return the module, None without the extra; 60 ms that only a locked key is worth."""
    try:
        import keyring.errors
    except ImportError:
        return None
    return keyring


def _name(container: bytes) -> str:
    if container.startswith(_V1_MARK):
        return container[:_V1_HEADER_BYTES].hex()
    return sha256(container).hexdigest()
