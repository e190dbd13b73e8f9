"""The CA on disk.

Owns the files of the CA in the state folder and the randomness behind keys and serials. Refuses files that others can
read or own, parts that do not belong together, and formats of a later version.
Strategy: a CA is one generation, a folder `ca-<id>` that is written whole and synced before a single rename of the file
`ca.current` makes it the CA. A crash at any point leaves the old CA or the new one; what it left lying about is
removed by the next `create`. Writers hold a lock; readers need none, they read again when the pointer moved under
them.

    <state>/ca.current              format, generation, fingerprint of the root, PKI port, SHA-256 of signer.json (JSON)
    <state>/ca.lock                 held while something is written
    <state>/ca-<id>/                root.pem root.crl intermediate.key intermediate.pem intermediate.crl signer.json

cryptography's x509 package (25 ms) is loaded only where certificates are parsed or made: a start takes the short way
through `seal`.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec.json
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.errors import CertificateError, NoAuthority, StateError
from devtls.names import Hostname
from devtls.pki.der import key_pem
from devtls.pki.leaf import Signer
from devtls.pki.signature import sha256_hex
from devtls.system.private_files import (
    check_private_folder,
    create_private_file,
    ensure_private_folder,
    locked,
    make_private_folder,
    read_private_file,
    replace_private_file,
    sync_folder,
)
from devtls.system.seal import INTERMEDIATE, KEY, ROOT, ROOT_CRL, SEAL, open_sealed, seal

if TYPE_CHECKING:
    from cryptography import x509

    from devtls.pki.authority import Authority

FORMAT = 1

_POINTER = "ca.current"
_LOCK = "ca.lock"
_CRL = "intermediate.crl"
_GENERATION = re.compile(r"ca-[0-9a-f]{8}\Z")
_READ_ATTEMPTS = 5
_NEW_CA = "devtls untrust --forget, then devtls trust"

# Below the ports that Linux (32768), macOS and Windows (49152) hand out to outgoing connections, so that the port is
# still free at the next start.
_PORTS = range(20000, 32768)
_PORT_ATTEMPTS = 50


def new_leaf_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key (10 microseconds)."""
    return ec.generate_private_key(ec.SECP256R1())


def new_serial() -> int:
    """Return a random serial number of 159 bits."""
    return int.from_bytes(os.urandom(20), "big") >> 1


class _Pointer(msgspec.Struct, frozen=True):
    """What `ca.current` says."""

    format: int
    generation: str
    root_sha256: str
    pki_port: int
    seal_sha256: str = ""
    """Of `signer.json`; "" for a CA that was made before there was one."""


class Keystore:
    """The CA in one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._pointer_path = state_dir / _POINTER

    def exists(self) -> bool:
        """Say whether there is a CA; not whether it can be used."""
        try:
            return self._pointer_path.exists()
        except OSError as error:
            raise self._unusable(error) from error

    def fingerprint_on_disk(self) -> str | None:
        """Return the root's SHA-256 (hex) as the pointer has it, or None: cheap, tells a running proxy of a new CA."""
        pointer = self._read_pointer()
        return pointer.root_sha256 if pointer else None

    def folder_of(self, authority: Authority) -> Path:
        """Return the folder that holds the files of `authority`."""
        return self.state_dir / _generation_name(authority)

    def load(self, now: datetime) -> Authority:
        """Return the CA; raises NoAuthority when there is none, StateError when it is unsafe, damaged or too old."""
        for _ in range(_READ_ATTEMPTS):
            pointer = self._read_pointer()
            if pointer is None:
                raise NoAuthority("There is no CA on this machine yet.", path=str(self.state_dir), hint="devtls trust")
            folder = self.state_dir / pointer.generation
            try:
                check_private_folder(self.state_dir)
                return _read_generation(folder, pointer, now)
            except FileNotFoundError as error:
                if self._read_pointer() == pointer:
                    raise StateError(f"{error.filename} is missing.", path=str(error.filename), hint=_NEW_CA) from error
            except CertificateError as error:
                raise StateError(str(error), path=str(folder), hint=error.hint) from error
        raise StateError("The CA is being replaced right now.", path=str(self.state_dir), hint="try again in a moment")

    def load_signer(self, now: datetime) -> Signer:
        """Return the part of the CA that mints; raises what `load` raises."""
        pointer = self._read_pointer()
        if pointer is not None and pointer.seal_sha256:
            check_private_folder(self.state_dir)
            signer = open_sealed(self.state_dir / pointer.generation, pointer.seal_sha256, now)
            if signer is not None and (signer.fingerprint, signer.pki_port) == (pointer.root_sha256, pointer.pki_port):
                return signer
        return self.load(now).signer

    def create(self, zones: Iterable[Hostname], now: datetime, *, pki_port: int | None = None) -> Authority:
        """Make a new CA and put it in the place of the old one, if any; the root's key is dropped here."""
        with self._writing():
            return self._create(tuple(zones), now, pki_port)

    def load_or_create(self, zones: Iterable[Hostname], now: datetime) -> Authority:
        """Return the CA, made now if there is none: two processes at the same moment get the same one."""
        with self._writing():
            return self.load(now) if self.exists() else self._create(tuple(zones), now, None)

    def forget(self) -> None:
        """Delete the CA with its key, and whatever a crash left of others."""
        if not self.state_dir.is_dir():
            return
        with self._writing():
            self._pointer_path.unlink(missing_ok=True)
            sync_folder(self.state_dir)
            self._remove_generations(keep=None)

    def next_crl(self, authority: Authority, now: datetime) -> bytes:
        """Return the intermediate's revocation list (DER), signed anew when half of the last one's life is over.

        Its number grows from one to the next, also across processes. Raises StateError when the CA was replaced.
        """
        from cryptography.hazmat.primitives.serialization import Encoding

        from devtls.pki.revocation import crl_number, is_due

        with self._writing():
            path = self.folder_of(authority) / _CRL
            if not path.parent.is_dir():
                raise StateError("The CA was replaced.", path=str(path), hint="restart devtls serve")
            last = _read_crl(path, authority)
            if last is None:  # so its number is unknown: the seconds since 1970 are above every number counted so far
                der = authority.intermediate_crl(number=int(now.timestamp()), this_update=now)
            elif is_due(last, now):
                der = authority.intermediate_crl(number=crl_number(last) + 1, this_update=now, revoked=last)
            else:
                return last.public_bytes(Encoding.DER)
            replace_private_file(path, der)
            return der

    def crl_on_disk(self, signer: Signer) -> bytes | None:
        """Return the intermediate's revocation list (DER) as it was signed last: cheap, tells of a new one."""
        try:
            return read_private_file(self.state_dir / f"ca-{signer.id}" / _CRL)
        except FileNotFoundError:
            return None

    def _create(self, zones: tuple[Hostname, ...], now: datetime, pki_port: int | None) -> Authority:
        from devtls.pki.authority import create_authority

        self._remove_generations(keep=self._read_pointer())
        authority = create_authority(
            zones,
            now=now,
            pki_port=pki_port or _free_port(),
            root_key=new_leaf_key(),
            intermediate_key=new_leaf_key(),
            root_serial=new_serial(),
            intermediate_serial=new_serial(),
        )
        authority.check(now)
        sealed = self._write_generation(self.folder_of(authority), authority, now)
        pointer = _Pointer(
            FORMAT, _generation_name(authority), authority.fingerprint, authority.pki_port, sha256_hex(sealed)
        )
        replace_private_file(self._pointer_path, msgspec.json.format(msgspec.json.encode(pointer), indent=1) + b"\n")
        self._remove_generations(keep=pointer)
        return authority

    def _write_generation(self, folder: Path, authority: Authority, now: datetime) -> bytes:
        """Write all files of a CA; returns its seal."""
        files = {
            KEY: key_pem(authority.intermediate.key),
            INTERMEDIATE: authority.intermediate_pem,
            ROOT: authority.root_pem,
            ROOT_CRL: authority.root_crl_der,
            _CRL: authority.intermediate_crl(number=1, this_update=now),
        }
        files[SEAL] = seal(authority.signer, files)
        make_private_folder(folder)
        for name, content in files.items():
            create_private_file(folder / name, content)
        sync_folder(folder)
        sync_folder(self.state_dir)
        return files[SEAL]

    def _read_pointer(self) -> _Pointer | None:
        try:
            content = read_private_file(self._pointer_path)
        except FileNotFoundError:
            return None
        return _parse_pointer(content, self._pointer_path)

    def _remove_generations(self, *, keep: _Pointer | None) -> None:
        for folder in self.state_dir.iterdir():
            if _GENERATION.match(folder.name) and not (keep and folder.name == keep.generation):
                _remove_generation(folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            ensure_private_folder(self.state_dir)
            with locked(self.state_dir / _LOCK):
                yield
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StateError:
        return StateError(
            f"The state folder cannot be used: {error.strerror or error} ({error.filename or self.state_dir}).",
            path=str(self.state_dir),
            hint="check who owns the folder and whether the disk is full, or name another in DEVTLS_STATE_DIR",
        )


def _generation_name(authority: Authority) -> str:
    return f"ca-{authority.id}"


def _parse_pointer(content: bytes, path: Path) -> _Pointer:
    try:
        values = msgspec.json.decode(content)
        written_by = values["format"]
        if isinstance(written_by, int) and written_by > FORMAT:
            raise StateError(
                f"The CA was written by a later devtls (format {written_by}, this one knows {FORMAT}).",
                path=str(path),
                hint="upgrade devtls",
            )
        pointer = _Pointer(**values)
        valid = pointer.format == FORMAT and _GENERATION.match(pointer.generation) and 0 < pointer.pki_port < 65536
    except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
        raise StateError(f"{path} is damaged.", path=str(path), hint=_NEW_CA) from error
    if not valid:
        raise StateError(f"{path} is damaged.", path=str(path), hint=_NEW_CA)
    return pointer


def _read_generation(folder: Path, pointer: _Pointer, now: datetime) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from devtls.pki.authority import Authority, Intermediate

    check_private_folder(folder)
    try:
        key = load_pem_private_key(read_private_file(folder / KEY), password=None)
        certificate = x509.load_pem_x509_certificate(read_private_file(folder / INTERMEDIATE))
        root = x509.load_pem_x509_certificate(read_private_file(folder / ROOT))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StateError(f"A file in {folder} is damaged.", path=str(folder), hint=_NEW_CA) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateError("The intermediate's key is of another kind.", path=str(folder / KEY), hint=_NEW_CA)
    root_crl = read_private_file(folder / ROOT_CRL)
    authority = Authority(root, Intermediate(certificate, key), root_crl, pointer.pki_port)
    authority.check(now)
    if authority.fingerprint != pointer.root_sha256:
        raise StateError(f"{folder} holds another CA than the one that was made.", path=str(folder), hint=_NEW_CA)
    return authority


def _read_crl(path: Path, authority: Authority) -> x509.CertificateRevocationList | None:
    from devtls.pki.revocation import load_crl

    try:
        crl = load_crl(read_private_file(path))
    except (FileNotFoundError, CertificateError):
        return None
    return crl if crl.is_signature_valid(authority.intermediate.key.public_key()) else None


def _remove_generation(folder: Path) -> None:
    """Remove one generation, the key first; a link is removed, never followed."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
        return
    (folder / KEY).unlink(missing_ok=True)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def _free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has now."""
    import secrets  # with hashlib, hmac and random: 3 ms that only the making of a CA needs

    for _ in range(_PORT_ATTEMPTS):
        port = secrets.choice(_PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StateError("No free port was found for the revocation lists.", hint="close some programs and try again")
