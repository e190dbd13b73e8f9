"""The passphrase of a locked key in the system's keyring, where the extra `keyring` is installed.

Owns the entry's name: SHA-256 of the container (the header, for one of an earlier version), so a copy of the file has
the same entry and another key has none. Refuses nothing when it only looks: without the extra, a service behind it, or
an entry, the passphrase is asked for.
"""

from __future__ import annotations

from hashlib import sha256

from devtls.errors import StateError

_SERVICE = "devtls"
_V1_MARK, _V1_HEADER_BYTES = b"devtls-key", 42  # containers of earlier versions: `devtls.pki.locked_key`


def from_keyring(container: bytes) -> str:
    """Return what the keyring holds for this container, "" for nothing."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return ""
    try:
        return keyring.get_password(_SERVICE, _name(container)) or ""
    except KeyringError:  # locked, or no service behind it
        return ""


def to_keyring(container: bytes, passphrase: str) -> None:
    """Store the passphrase of a container; raises StateError where that cannot be."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise StateError("The keyring extra is not installed.", hint="pip install 'devtls[keyring]'") from error
    try:
        keyring.set_password(_SERVICE, _name(container), passphrase)
    except KeyringError as error:
        raise StateError(f"The keyring takes nothing: {error}.", hint="devtls ca lock without --keyring") from error


def drop_from_keyring(container: bytes) -> None:
    """Forget the passphrase of a container, if the keyring knows it."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return
    try:
        keyring.delete_password(_SERVICE, _name(container))
    except KeyringError:  # there was none
        return


def _name(container: bytes) -> str:
    if container.startswith(_V1_MARK):
        return container[:_V1_HEADER_BYTES].hex()
    return sha256(container).hexdigest()
