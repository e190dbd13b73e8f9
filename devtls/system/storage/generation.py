"""The files of one CA: a folder `ca-<id>`, written whole, read and checked, removed with the key first.

Owns what lies in the folder. Refuses parts that do not belong together and files that others can read or own. Which of
the folders counts is the pointer's to say; cryptography's x509 package (25 ms) is loaded where certificates are parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec.json
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.errors import StateError
from devtls.names import Hostname
from devtls.pki.der import key_pem
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
from devtls.system.storage.pointer import NEW_CA, PointerEntry
from devtls.system.storage.seal import INTERMEDIATE, KEY, ROOT, ROOT_CRL, SEAL, SEALED, seal

if TYPE_CHECKING:
    from cryptography import x509

    from devtls.pki.authority import Authority
    from devtls.pki.signature import IssuerKey
    from devtls.system.storage.locked_key import Unlock

CRL = "intermediate.crl"
REGISTER = "register.jsonl"
ROOT_KEY = "root.key"
"""The root's key in its container; only where it was kept."""

IMPORT = "import.json"
"""What is to be known of a CA that was made elsewhere: its zones, which its constraints need not say."""
IMPORT_FORMAT = 1

Lock = Callable[["IssuerKey"], bytes]
"""Turns a key into a container."""

_LOCKED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"devtls-key")


def is_locked(content: bytes) -> bool:
    """Say whether a key file is a container (`pki.locked_key`, which no start has to load)."""
    return content.startswith(_LOCKED)


def generation_name(authority: Authority) -> str:
    """Return the name of the folder that holds the files of `authority`."""
    return authority.generation


def is_locked_file(path: Path) -> bool:
    """Say whether the key in a file of ours is locked; raises StateError."""
    return is_locked(read_private_file(path))


class _Import(msgspec.Struct, frozen=True):
    format: int
    zones: tuple[Hostname, ...]


class Locks(msgspec.Struct, frozen=True):
    """What turns keys into containers: the root's, without which its key is dropped, and the intermediate's."""

    root: Lock | None = None
    intermediate: Lock | None = None


NO_LOCKS = Locks()


def make_generation(
    state_dir: Path, zones: tuple[Hostname, ...], now: datetime, pki_port: int, locks: Locks
) -> tuple[Authority, PointerEntry]:
    """Make and write a new CA; what is not locked of the root's key is dropped here."""
    from devtls.pki.authority import create_authority

    root_key = new_leaf_key()
    authority = create_authority(
        zones,
        now=now,
        pki_port=pki_port,
        root_key=root_key,
        intermediate_key=new_leaf_key(),
        root_serial=new_serial(),
        intermediate_serial=new_serial(),
    )
    authority.check(now)
    kept = locks.root(root_key) if locks.root else b""
    return authority, write_generation(state_dir, authority, now, lock=locks.intermediate, root_key=kept)


def write_generation(
    state_dir: Path, authority: Authority, now: datetime, *, lock: Lock | None = None, root_key: bytes = b""
) -> PointerEntry:
    """Write all files of a CA and put them on disk; returns what the pointer has to say of it.

    `lock` locks the intermediate's key, `root_key` is the container of the root's if that is kept.
    """
    key = authority.intermediate.key
    files = {
        KEY: lock(key) if lock else plain_key(key),
        **({ROOT_KEY: root_key} if root_key else {}),
        INTERMEDIATE: authority.intermediate_pem,
        ROOT: authority.root_pem,
        ROOT_CRL: authority.root_crl_der,
        CRL: authority.intermediate_crl(number=1, this_update=now),
    }
    if authority.imported:
        files[IMPORT] = msgspec.json.encode(_Import(IMPORT_FORMAT, authority.zones))
    files[SEAL] = seal(authority.signer, files)
    directory = state_dir / generation_name(authority)
    make_private_directory(directory)
    for name, content in files.items():
        create_private_file(directory / name, content)
    sync_directory(directory)
    sync_directory(state_dir)
    end = authority.signer.not_after
    return PointerEntry(
        directory.name, authority.fingerprint, authority.pki_port, sha256_hex(files[SEAL]), end, authority.id
    )


def replace_sealed(
    directory: Path, entry: PointerEntry, authority: Authority, name: str, content: bytes
) -> PointerEntry:
    """Put a file of a CA (`name`, a sealed one) in the place of the present one; returns what the pointer says."""
    files = {each: read_private_file(directory / each) for each in SEALED if each != name}
    sealed = seal(authority.signer, {**files, name: content})
    replace_private_file(directory / name, content)
    replace_private_file(directory / SEAL, sealed)
    return msgspec.structs.replace(entry, seal_sha256=sha256_hex(sealed))


def plain_key(key: IssuerKey) -> bytes:
    """Return an unlocked key as PKCS #8, PEM."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key_pem(key)
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_generation(directory: Path, entry: PointerEntry, now: datetime | None, unlock: Unlock) -> Authority:
    """Return the CA in `folder`, checked as of `now` (None: whatever the date is).

    `unlock` opens its key, if that is locked, once something is signed. Raises FileNotFoundError, StateError,
    CertificateError.
    """
    from cryptography import x509

    from devtls.pki.authority import Authority, Intermediate

    check_private_directory(directory)
    try:
        root = x509.load_pem_x509_certificate(read_private_file(directory / ROOT))
        below = read_private_file(directory / INTERMEDIATE)  # empty for an imported root that signs leaves itself
        certificate, *between = x509.load_pem_x509_certificates(below) if below else [root]
        limits = _read_limits(directory / IMPORT)
        key = _read_key(directory / KEY, certificate, unlock)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StateError(f"A file in {directory} is damaged.", path=str(directory), hint=NEW_CA) from error
    root_crl = read_private_file(directory / ROOT_CRL)
    authority = Authority(
        root, Intermediate(certificate, key), root_crl, entry.pki_port, between=tuple(between), limits=limits
    )
    authority.check_parts()
    if now is not None:
        authority.signer.check_dates(now)
    if authority.fingerprint != entry.root_sha256:
        raise StateError(f"{directory} holds another CA than the one that was made.", path=str(directory), hint=NEW_CA)
    return authority


def _read_limits(path: Path) -> tuple[Hostname, ...]:
    """Return the zones of a CA that was imported, () for one of ours."""
    try:
        content = read_private_file(path)
    except FileNotFoundError:
        return ()
    limits = msgspec.json.decode(content, type=_Import)
    if limits.format > IMPORT_FORMAT:
        raise StateError("The CA was imported by a later devtls.", path=str(path), hint="upgrade devtls")
    return limits.zones


def _read_key(path: Path, certificate: x509.Certificate, unlock: Unlock) -> IssuerKey:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = read_private_file(path)
    if is_locked(content):
        from devtls.system.storage.locked_key import LockedKey

        return LockedKey(content, certificate.public_key(), unlock)
    key = load_pem_private_key(content, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise StateError("The intermediate's key is of another kind.", path=str(path), hint=NEW_CA)
    return key


def read_root(directory: Path, entry: PointerEntry) -> x509.Certificate | None:
    """Return the root of a CA whose other files do not matter; None when it is not there as it was."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        root = x509.load_pem_x509_certificate(read_private_file(directory / ROOT))
    except (FileNotFoundError, StateError, ValueError):
        return None
    return root if root.fingerprint(SHA256()).hex() == entry.root_sha256 else None


def read_crl(path: Path, authority: Authority) -> x509.CertificateRevocationList | None:
    """Return the list in the file, or None when there is none that the CA signed."""
    from devtls.errors import CertificateError
    from devtls.pki.revocation import load_crl

    try:
        crl = load_crl(read_private_file(path))
    except (FileNotFoundError, CertificateError):
        return None
    return crl if crl.is_signature_valid(authority.intermediate.key.public_key()) else None


def remove_generation(directory: Path) -> None:
    """Remove one generation, the key first; a link is removed, never followed."""
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink()
        return
    (directory / KEY).unlink(missing_ok=True)
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
