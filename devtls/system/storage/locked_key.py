"""A key of the CA that is encrypted under a passphrase, and that is opened when something is to be signed with it.

Owns the moment at which the passphrase is needed: not when the CA is read (its certificates are public), but at the
first signature; and the order in which passphrases are tried. Refuses to show the key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.errors import CertificateError, StateError, WrongPassphrase
from devtls.pki.locked_key import IV_BYTES, SALT_BYTES, lock_key, unlock_key
from devtls.system.storage.keyring_entry import from_keyring
from devtls.system.storage.passphrase import NO_PASSPHRASES, Ask, PassphraseSource, normal, read_from

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import _serialization

    from devtls.pki.leaf import Signer
    from devtls.pki.signature import IssuerKey

Unlock = Callable[[bytes], "IssuerKey"]
"""Opens a container; raises WrongPassphrase, or StateError without a source for the passphrase."""

_TRIES = 3


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

    # Abstract in the class that cryptography gives.
    def __copy__(self) -> LockedKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> LockedKey:
        return self


def with_open_key(signer: Signer) -> Signer:
    """Return the signer with its key opened, if it was locked."""
    key = signer.key
    return msgspec.structs.replace(signer, key=key.open()) if isinstance(key, LockedKey) else signer


class Unlocker:
    """Opens containers: with the passphrase that opened one before, the source's descriptor, the keyring, a person.

    `what` names the key in questions and errors; `source` may be replaced between two calls.
    """

    def __init__(self, what: str, source: PassphraseSource = NO_PASSPHRASES) -> None:
        self._what = what
        self._is_read = False
        self.source = source
        self.passphrase = ""
        """The passphrase that opened a container, "" before."""

    def __call__(self, container: bytes) -> IssuerKey:
        """Return the key; raises WrongPassphrase, StateError, CertificateError."""
        for passphrase in self._known(container):
            # An empty one would cost a derivation to find out (0.4 s: `devtls.pki.locked_key`).
            if passphrase and (key := self._try(container, passphrase)) is not None:
                return key
        if self.source.descriptor is not None:
            raise WrongPassphrase("What the descriptor gave is not the passphrase.", hint="look at what the file holds")
        if self.source.ask is None:
            raise StateError(
                f"{self._what[:1].upper()}{self._what[1:]} is locked, and there is nobody to ask for the passphrase.",
                hint="run it in a terminal, give --passphrase-fd N, or use the keyring: devtls ca lock --keyring",
            )
        return self._asked(container, self.source.ask)

    def _known(self, container: bytes) -> Iterator[str]:
        yield self.passphrase
        if self.source.descriptor is not None and not self._is_read:
            # A pipe gives its content once.
            self._is_read = True
            yield read_from(self.source.descriptor)
        yield from_keyring(container)

    def _asked(self, container: bytes, ask: Ask) -> IssuerKey:
        question = f"Passphrase of {self._what}: "
        for prefix in ("", *("That is not it. " for _ in range(_TRIES - 1))):
            key = self._try(container, normal(ask(prefix + question)))
            if key is not None:
                return key
        raise WrongPassphrase(f"None of them was the passphrase of {self._what}.")

    def _try(self, container: bytes, passphrase: str) -> IssuerKey | None:
        try:
            key = unlock_key(container, passphrase)
        except WrongPassphrase:
            return None
        self.passphrase = passphrase
        return key
