"""A key of the CA that lies under a passphrase, and that opens when something is to be signed with it.

Owns the moment at which the passphrase is needed: not when the CA is read (what it says of itself is public), but at
the first signature. Refuses to show the key. Whoever asks for the passphrase is handed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.errors import CertificateError
from devtls.pki.locked_key import IV_BYTES, SALT_BYTES, lock_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import _serialization

    from devtls.pki.leaf import Signer
    from devtls.pki.signature import IssuerKey

Unlock = Callable[[bytes], "IssuerKey"]
"""Opens a container; raises WrongPassphrase, or StateError when nobody can be asked."""


def lock(key: IssuerKey, passphrase: str) -> bytes:
    """Return a container with `key`, under a fresh salt."""
    return lock_key(key, passphrase, salt=os.urandom(SALT_BYTES), iv=os.urandom(IV_BYTES))


class LockedKey(ec.EllipticCurvePrivateKey):
    """Stands for the key in a container, of whatever kind it is: it signs, and does nothing else.

    `public_key` is that of the certificate it belongs to.
    """

    def __init__(self, container: bytes, public_key: Any, unlock: Unlock) -> None:
        self.container = container
        self._public_key = public_key
        self._unlock = unlock
        self._opened: IssuerKey | None = None

    def open(self) -> IssuerKey:
        """Return the key itself; asks for the passphrase the first time. Raises CertificateError, StateError."""
        if self._opened is None:
            key = self._unlock(self.container)
            if key.public_key() != self._public_key:
                raise CertificateError("The key that was locked does not belong to its certificate.")
            self._opened = key
        return self._opened

    def public_key(self) -> Any:
        """Return the key's public half, without opening it."""
        return self._public_key

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        """Sign, as the key itself does it."""
        key: Any = self.open()
        signed: bytes = key.sign(data, signature_algorithm)
        return signed

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve of the public half."""
        curve: ec.EllipticCurve = self._public_key.curve
        return curve

    @property
    def key_size(self) -> int:
        """The bits of the public half."""
        size: int = self._public_key.key_size
        return size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        """Refuse: a CA's key signs."""
        raise TypeError("a CA's key signs, and does nothing else")

    def private_numbers(self) -> NoReturn:
        """Refuse: the key is not shown."""
        raise TypeError("a locked key is not shown")

    def private_bytes(
        self,
        encoding: _serialization.Encoding,
        format: _serialization.PrivateFormat,
        encryption_algorithm: _serialization.KeySerializationEncryption,
    ) -> NoReturn:
        """Refuse: the key is not shown."""
        raise TypeError("a locked key is not shown")

    def __copy__(self) -> LockedKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> LockedKey:
        return self


def with_open_key(signer: Signer) -> Signer:
    """Return the signer with its key opened, if it was locked."""
    key = signer.key
    return msgspec.structs.replace(signer, key=key.open()) if isinstance(key, LockedKey) else signer
