"""The seal of a checked CA: its signer is loaded without parsing certificates.

Owns `signer.json`: what minting needs to know of the CA, and SHA-256 of every file that it was checked with. The
pointer of the key store holds the file's own SHA-256. Refuses nothing: whatever is not exactly as it was sealed is no
seal, and the key store then reads and checks the certificates themselves, with an error that says what is wrong.
Strategy: bytes that are the same as those that were checked need no second parsing; owner, mode, dates, and that key
and certificate are a pair, are checked each time. It saves a start the import of cryptography's x509 package and the
checks, 44 of 185 ms (measured: `devtls.pki.der`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec.json

from devtls.errors import CertificateError
from devtls.pki.der import point, read_key_pem
from devtls.pki.leaf import Signer, SignerFacts
from devtls.pki.signature import point_identifier, sha256_hex
from devtls.system.machine.private_files import check_private_directory, read_private_file
from devtls.system.storage.ca_directory import INTERMEDIATE, KEY, ROOT, ROOT_CRL, SEAL

SEALED = (KEY, INTERMEDIATE, ROOT, ROOT_CRL)


class _Seal(msgspec.Struct, frozen=True):
    facts: SignerFacts
    sha256: dict[str, str]


def seal(signer: Signer, files: Mapping[str, bytes]) -> bytes:
    """Return the content of `signer.json` for a CA whose `files` were checked."""
    facts = {name: getattr(signer, name) for name in SignerFacts.__struct_fields__}
    sums = {name: sha256_hex(files[name]) for name in SEALED}
    return msgspec.json.format(msgspec.json.encode(_Seal(SignerFacts(**facts), sums)), indent=1) + b"\n"


def open_sealed(directory: Path, sha256: str, now: datetime) -> Signer | None:
    """Return the signer of the CA in `directory` when all is as it was sealed (`sha256`: of `signer.json`).

    Raises StateError for what others can read or own.
    """
    try:
        check_private_directory(directory)
        content = read_private_file(directory / SEAL)
        files = {name: read_private_file(directory / name) for name in SEALED}
    except FileNotFoundError:
        return None
    if sha256_hex(content) != sha256:
        return None
    try:
        sealed = msgspec.json.decode(content, type=_Seal)
    except msgspec.DecodeError:  # another version's: it knows other facts
        return None
    if any(sha256_hex(files[name]) != sealed.sha256.get(name) for name in SEALED):
        return None
    return _signer(sealed.facts, files, now)


def _signer(facts: SignerFacts, files: Mapping[str, bytes], now: datetime) -> Signer | None:
    # A locked key, or one that is not P-256: the long way reads it.
    key = read_key_pem(files[KEY])
    if key is None or point_identifier(point(key.public_key())) != facts.identifier:
        return None
    signer = Signer(
        **msgspec.structs.asdict(facts), root_pem=files[ROOT], intermediate_pem=files[INTERMEDIATE], key=key
    )
    try:
        signer.check_dates(now)
    except CertificateError:
        return None
    return signer
