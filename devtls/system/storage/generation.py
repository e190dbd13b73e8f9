"""The files of the CAs below a state directory: writing, reading and checking them.

Owns what `Keystore` needs of a whole CA: its certificates, keys and CRLs, and the passphrase of a locked key, which is
asked for once. Refuses parts that do not belong together and files that others can read or own. Which of the CAs
counts is for the pointer to say.
Strategy: this module loads cryptography's x509 package and the key formats, 60 ms in all, so `Keystore` loads it when a
CA is parsed or made; a start reads the seal.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec.json
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from devtls.errors import StateError
from devtls.names import Hostname
from devtls.pki.authority import Authority, NewKey, create_authority
from devtls.pki.intermediate import Intermediate
from devtls.pki.leaf import NEW_CA, Signer
from devtls.pki.locked_key import is_locked
from devtls.pki.profile import Purpose
from devtls.pki.signature import sha256_hex
from devtls.system.machine.private_files import (
    check_private_directory,
    create_private_file,
    make_private_directory,
    read_private_file,
    replace_private_file,
    sync_directory,
)
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.ca_directory import (
    IMPORT,
    INTERMEDIATE,
    INTERMEDIATES,
    ROOT,
    ROOT_CRL,
    ROOT_KEY,
    SEAL,
    Lock,
    Locks,
    certificate_file,
    crl_file,
    key_file,
)
from devtls.system.storage.intermediate_list import ListedIntermediate, read_list, render_list
from devtls.system.storage.locked_key import LockedKey, Unlocker, lock, with_open_key
from devtls.system.storage.passphrase import PassphraseSource
from devtls.system.storage.pointer import PointerEntry
from devtls.system.storage.register_file import current_crl
from devtls.system.storage.seal import SEALED, seal

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

_IMPORT_FORMAT = 1

# Below the ports that Linux (32768), macOS and Windows (49152) hand out to outgoing connections, so that the port is
# still free at the next start.
_PKI_PORTS = range(20000, 32768)
_ATTEMPTS = 50


class _Import(msgspec.Struct, frozen=True):
    format: int
    zones: tuple[Hostname, ...]


class Generations:
    """The CAs below one state directory. `passphrases` says where the passphrase of a locked key comes from."""

    def __init__(self, state_dir: Path, passphrases: Callable[[], PassphraseSource]) -> None:
        self._state_dir = state_dir
        self._passphrases = passphrases
        self._unlocker = Unlocker("the CA's key")

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, entry: PointerEntry, now: datetime | None) -> Authority:
        """Return the CA of `entry`, checked as of `now` (None: whatever the date is).

        Its key, if it is locked, is opened when something is signed. Raises FileNotFoundError, StateError,
        CertificateError.
        """
        directory = self._state_dir / entry.generation
        check_private_directory(directory)
        try:
            root = x509.load_pem_x509_certificate(read_private_file(directory / ROOT))
            below = read_private_file(directory / INTERMEDIATE)  # empty for an imported root that signs leaves itself
            _, *between = x509.load_pem_x509_certificates(below) if below else [root]
            limits = _read_limits(directory / IMPORT)
            first, *others = (self._read_intermediate(directory, root, each) for each in read_list(directory))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise StateError(f"A file in {directory} is damaged.", path=str(directory), hint=NEW_CA) from error
        root_crl = read_private_file(directory / ROOT_CRL)
        authority = Authority(root, first, root_crl, entry.pki_port, tuple(between), limits, tuple(others))
        authority.check_parts()
        if now is not None:
            authority.signer.check_dates(now)
        if authority.fingerprint != entry.root_sha256:
            raise StateError(
                f"{directory} holds another CA than the one that was made.", path=str(directory), hint=NEW_CA
            )
        return authority

    def read_root(self, entry: PointerEntry) -> x509.Certificate | None:
        """Return the root of a CA whose other files do not matter; None when it is not there as it was."""
        try:
            root = x509.load_pem_x509_certificate(read_private_file(self._state_dir / entry.generation / ROOT))
        except (FileNotFoundError, StateError, ValueError):
            return None
        return root if root.fingerprint(SHA256()).hex() == entry.root_sha256 else None

    def _read_intermediate(self, directory: Path, root: x509.Certificate, listed: ListedIntermediate) -> Intermediate:
        content = read_private_file(directory / certificate_file(listed.name))
        certificate = x509.load_pem_x509_certificate(content) if content else root
        key = self._read_key(directory / key_file(listed.name), certificate)
        return Intermediate(certificate, key, listed.purpose, listed.name)

    def _read_key(self, path: Path, certificate: x509.Certificate) -> IssuerKey:
        content = read_private_file(path)
        if is_locked(content):
            return LockedKey(content, certificate.public_key(), self._unlock)
        key = load_pem_private_key(content, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise StateError("The intermediate's key is of another kind.", path=str(path), hint=NEW_CA)
        return key

    # -- keys under a passphrase --------------------------------------------------------------------------------------

    def _unlock(self, container: bytes) -> IssuerKey:
        self._unlocker.source = self._passphrases()
        return self._unlocker(container)

    def open_signer(self, authority: Authority) -> Signer:
        """Return the part of a CA that mints, its key opened; raises WrongPassphrase, StateError."""
        return with_open_key(authority.signer)

    def lock_like(self, authority: Authority) -> Lock | None:
        """Return what locks another key as that of `authority` is, None when it is not; may ask for its passphrase."""
        key = authority.intermediate.key
        if not isinstance(key, LockedKey):
            return None
        # Now: the passphrase is known only after it opened a key.
        key.open()
        return partial(lock, passphrase=self._unlocker.passphrase)

    def is_locked_like(self, authority: Authority, locks: Locks) -> bool:
        """Say whether exactly the keys that `locks` would lock are locked, and kept."""
        directory = self._state_dir / authority.generation
        locked = {isinstance(each.key, LockedKey) for each in authority.intermediates}
        return locked == {bool(locks.intermediate)} and (directory / ROOT_KEY).exists() == bool(locks.root)

    # -- writing ------------------------------------------------------------------------------------------------------

    def make(
        self, zones: tuple[Hostname, ...], now: datetime, locks: Locks, *, pki_port: int | None = None
    ) -> tuple[Authority, PointerEntry]:
        """Make and write a new CA; the root's key is dropped here unless it is locked. None = a free PKI port."""
        root = NewKey(new_leaf_key(), new_serial())
        purposes: tuple[Purpose, ...] = ("server", "client")
        authority = create_authority(
            zones,
            now=now,
            pki_port=pki_port or free_pki_port(),
            root=root,
            intermediates={purpose: NewKey(new_leaf_key(), new_serial()) for purpose in purposes},
        )
        authority.check(now)
        kept = locks.root(root.key) if locks.root else b""
        return authority, self.write(authority, now, lock=locks.intermediate, root_key=kept)

    def write(
        self, authority: Authority, now: datetime, *, lock: Lock | None = None, root_key: bytes = b""
    ) -> PointerEntry:
        """Write all files of a CA and put them on disk; returns its entry in the pointer.

        `lock` locks the intermediates' keys, `root_key` is the container of the root's if that is kept.
        """
        signing = authority.intermediates
        files = {key_file(each.name): lock(each.key) if lock else plain_key(each.key) for each in signing}
        files |= {ROOT: authority.root_pem, ROOT_CRL: authority.root_crl_der}
        for each in signing:
            files |= {
                certificate_file(each.name): authority.chain_pem(each),
                crl_file(each.name): authority.intermediate_crl(number=1, this_update=now, issuer=each),
            }
        if root_key:
            files[ROOT_KEY] = root_key
        if [each.purpose for each in signing] != ["any"]:
            files[INTERMEDIATES] = render_list(signing)
        if authority.imported:
            files[IMPORT] = msgspec.json.encode(_Import(_IMPORT_FORMAT, authority.zones))
        files[SEAL] = seal(authority.signer, files)
        directory = self._state_dir / authority.generation
        make_private_directory(directory)
        for name, content in files.items():
            create_private_file(directory / name, content)
        # Both: the names of the files, and that of the directory in its parent (fsync(2)).
        sync_directory(directory)
        sync_directory(self._state_dir)
        return PointerEntry(
            directory.name,
            authority.fingerprint,
            authority.pki_port,
            sha256_hex(files[SEAL]),
            authority.signer.not_after,
            authority.id,
        )

    def replace_sealed(self, entry: PointerEntry, authority: Authority, name: str, content: bytes) -> PointerEntry:
        """Replace a sealed file (`name`) of a CA and its seal; returns its entry in the pointer."""
        directory = self._state_dir / entry.generation
        files = {each: read_private_file(directory / each) for each in SEALED if each != name}
        sealed = seal(authority.signer, {**files, name: content})
        # Between the two writes the seal does not match, and a start reads the certificates instead.
        replace_private_file(directory / name, content)
        replace_private_file(directory / SEAL, sealed)
        return msgspec.structs.replace(entry, seal_sha256=sha256_hex(sealed))

    def current_crl(self, authority: Authority, issuer: Intermediate, now: datetime) -> bytes:
        """Return an intermediate's CRL (DER), signed anew when it is due; the caller holds the key store's lock."""
        return current_crl(self._state_dir / authority.generation, authority, issuer, now)


def free_pki_port() -> int:
    """Return a port of 127.0.0.1 that is free now: chosen once, when a CA is made, and named in its certificates."""
    for _ in range(_ATTEMPTS):
        port = _PKI_PORTS[int.from_bytes(os.urandom(4), "big") % len(_PKI_PORTS)]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StateError("No free port was found for the CRLs.", hint="close some programs and try again")


def plain_key(key: IssuerKey) -> bytes:
    """Return an unlocked key as PKCS #8, PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def is_locked_file(path: Path) -> bool:
    """Say whether the key in a file of ours is locked; raises StateError."""
    return is_locked(read_private_file(path))


def _read_limits(path: Path) -> tuple[Hostname, ...]:
    """Return the zones of a CA that was imported, () for one of ours."""
    try:
        content = read_private_file(path)
    except FileNotFoundError:
        return ()
    limits = msgspec.json.decode(content, type=_Import)
    if limits.format > _IMPORT_FORMAT:
        raise StateError("The CA was imported by a later devtls.", path=str(path), hint="upgrade devtls")
    return limits.zones
