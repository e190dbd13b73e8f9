"""The files of one CA: a folder `ca-<id>`, written whole, read and checked, removed with the key first.

Owns what lies in the folder. Refuses parts that do not belong together and files that others can read or own. Which of
the folders counts is the pointer's to say; cryptography's x509 package (25 ms) is loaded where certificates are parsed.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.errors import StateError
from devtls.pki.der import key_pem
from devtls.pki.signature import sha256_hex
from devtls.system.pointer import NEW_CA, Entry
from devtls.system.private_files import (
    check_private_folder,
    create_private_file,
    make_private_folder,
    read_private_file,
    sync_folder,
)
from devtls.system.seal import INTERMEDIATE, KEY, ROOT, ROOT_CRL, SEAL, seal

if TYPE_CHECKING:
    from cryptography import x509

    from devtls.pki.authority import Authority

CRL = "intermediate.crl"


def generation_name(authority: Authority) -> str:
    """Return the name of the folder that holds the files of `authority`."""
    return f"ca-{authority.id}"


def write_generation(state_dir: Path, authority: Authority, now: datetime) -> Entry:
    """Write all files of a CA and put them on disk; returns what the pointer has to say of it."""
    files = {
        KEY: key_pem(authority.intermediate.key),
        INTERMEDIATE: authority.intermediate_pem,
        ROOT: authority.root_pem,
        ROOT_CRL: authority.root_crl_der,
        CRL: authority.intermediate_crl(number=1, this_update=now),
    }
    files[SEAL] = seal(authority.signer, files)
    folder = state_dir / generation_name(authority)
    make_private_folder(folder)
    for name, content in files.items():
        create_private_file(folder / name, content)
    sync_folder(folder)
    sync_folder(state_dir)
    end = authority.signer.not_after
    return Entry(folder.name, authority.fingerprint, authority.pki_port, sha256_hex(files[SEAL]), end)


def read_generation(folder: Path, entry: Entry, now: datetime | None) -> Authority:
    """Return the CA in `folder`, checked as of `now` (None: whatever the date is).

    Raises FileNotFoundError, StateError, CertificateError.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from devtls.pki.authority import Authority, Intermediate

    check_private_folder(folder)
    try:
        key = load_pem_private_key(read_private_file(folder / KEY), password=None)
        certificate = x509.load_pem_x509_certificate(read_private_file(folder / INTERMEDIATE))
        root = x509.load_pem_x509_certificate(read_private_file(folder / ROOT))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StateError(f"A file in {folder} is damaged.", path=str(folder), hint=NEW_CA) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateError("The intermediate's key is of another kind.", path=str(folder / KEY), hint=NEW_CA)
    root_crl = read_private_file(folder / ROOT_CRL)
    authority = Authority(root, Intermediate(certificate, key), root_crl, entry.pki_port)
    authority.check_parts()
    if now is not None:
        authority.signer.check_dates(now)
    if authority.fingerprint != entry.root_sha256:
        raise StateError(f"{folder} holds another CA than the one that was made.", path=str(folder), hint=NEW_CA)
    return authority


def read_root(folder: Path, entry: Entry) -> x509.Certificate | None:
    """Return the root of a CA whose other files do not matter; None when it is not there as it was."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        root = x509.load_pem_x509_certificate(read_private_file(folder / ROOT))
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


def remove_generation(folder: Path) -> None:
    """Remove one generation, the key first; a link is removed, never followed."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
        return
    (folder / KEY).unlink(missing_ok=True)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
