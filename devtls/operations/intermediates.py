"""Further intermediates, signed with the root's key: for a colleague's machine, or for a cluster.

Owns the files that are issued: the certificate, its key when that is made here, the root, and the root's CRL. Refuses a
CA whose root's key was dropped, zones outside the root's, and to replace files; nothing is signed before it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import StateError
from devtls.names import Hostname
from devtls.operations.ca_keys import encrypted_root_key, open_root_key
from devtls.operations.context import Context
from devtls.pki.authority import Authority
from devtls.pki.delegation import delegate, key_in_request
from devtls.pki.der import key_pem
from devtls.pki.profile import Purpose, short_id
from devtls.pki.register import serial_text
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.certificate_files import refuse_to_overwrite, write_files
from devtls.system.storage.register import Register


@dataclass(frozen=True, slots=True)
class IntermediateRequest:
    """An intermediate that is wanted; without a request file (`csr`) its key is made here, without zones it has all."""

    csr: Path | None
    zones: tuple[Hostname, ...]
    days: int
    directory: Path
    force: bool = False
    """Replace files that exist."""
    purpose: Purpose = "any"
    """The certificates that it may sign."""


@dataclass(frozen=True, slots=True)
class IssuedIntermediate:
    """An intermediate and its files by role: key (when it was made here), certificate, root, list (the root's CRL)."""

    id: str
    certificate: x509.Certificate
    zones: tuple[Hostname, ...]
    files: dict[str, Path]
    purpose: Purpose = "any"

    @property
    def serial(self) -> str:
        """Its serial number, as the register has it."""
        return serial_text(self.certificate.serial_number)


def issue_intermediate(context: Context, request: IntermediateRequest) -> IssuedIntermediate:
    """Sign, record and write an intermediate.

    Raises Refused for a CA whose root's key is not here and for files that exist, CertificateError for zones outside
    the root's, WrongPassphrase, StateError.
    """
    keystore, now = context.keystore, context.now
    authority = keystore.load(now)
    encrypted = encrypted_root_key(keystore, authority)
    # With a request the key stays on the machine that made it, and nothing secret travels.
    own_key = new_leaf_key() if request.csr is None else None
    subject_key = own_key.public_key() if own_key else key_in_request(_read(request.csr or Path()))
    intermediate_id = short_id(x509.SubjectKeyIdentifier.from_public_key(subject_key))
    files = _files(intermediate_id, authority, request.directory, with_key=own_key is not None)
    # Refused before the passphrase is asked for.
    if not request.force:
        refuse_to_overwrite(files[role] for role in ("key", "certificate") if role in files)
    root_key = open_root_key(context, encrypted)
    certificate = delegate(
        authority,
        root_key,
        subject_key,
        zones=request.zones,
        now=now,
        days=request.days,
        serial=new_serial(),
        purpose=request.purpose,
    )
    zones, place = request.zones or authority.zones, str(request.directory.absolute())
    # Recorded before it is written: it can be revoked even if the disk is full a moment later.
    Register(keystore, authority).record(
        certificate, kind="intermediate", names=zones, by="ca intermediate", place=place, now=now
    )
    private = {files["key"]: key_pem(own_key)} if own_key else {}
    write_files(private, {files["certificate"]: certificate.public_bytes(Encoding.PEM)}, force=request.force)
    # The root and its CRL are the same for every intermediate, so they may be there already.
    write_files({}, {files["root"]: authority.root_pem, files["list"]: authority.root_crl_der}, force=True)
    return IssuedIntermediate(intermediate_id, certificate, zones, files, request.purpose)


def _files(intermediate_id: str, authority: Authority, directory: Path, *, with_key: bool) -> dict[str, Path]:
    stem = f"devtls-intermediate-{intermediate_id}"
    return {
        **({"key": directory / f"{stem}-key.pem"} if with_key else {}),
        "certificate": directory / f"{stem}.pem",
        "root": directory / f"devtls-root-{authority.id}.pem",
        "list": directory / f"devtls-root-{authority.id}.crl",
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror or error}.", path=str(path)) from error
