"""Certificates, keys and PKCS #12 files where another server reads them.

Owns their names and how they come to be: keys with mode 0600 from the first instant, nothing through a link, the key
on disk before its certificate. Refuses to overwrite unless that was said.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from devtls.errors import Refused, StateError
from devtls.pki.certify import RSA_BITS
from devtls.pki.leaf import Name
from devtls.system.private_files import create_private_file, sync_folder

_PUBLIC_MODE = 0o644
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_certificate_key(key_type: str) -> Key:
    """Return a fresh key, "ecdsa" (P-256) or "rsa" (2,048 bits)."""
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def file_stem(name: Name) -> str:
    """Return what the files for a name are called, as every file system takes it."""
    return str(name).replace("*", "_wildcard").replace(":", "_")


def key_file(key: Key) -> bytes:
    """Return the content of a key's file: PKCS #8, PEM, no passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def chain_file(chain: Iterable[x509.Certificate]) -> bytes:
    """Return certificates as PEM, one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def pkcs12_file(key: Key, chain: list[x509.Certificate], name: str, passphrase: bytes) -> bytes:
    """Return key and chain as PKCS #12, encrypted (AES-256, PBKDF2)."""
    encryption = BestAvailableEncryption(passphrase)
    return serialize_key_and_certificates(name.encode(), key, chain[0], chain[1:], encryption)


def refuse_to_overwrite(paths: Iterable[Path]) -> None:
    """Raise Refused when one of `paths` is there."""
    taken = [path for path in paths if os.path.lexists(path)]
    if taken:
        raise Refused(
            f"{' and '.join(str(path) for path in taken)} {'exists' if len(taken) == 1 else 'exist'} already.",
            hint="--force puts new ones in their place, --out DIR writes elsewhere",
        )


def write_files(private: Mapping[Path, bytes], public: Mapping[Path, bytes], *, force: bool) -> None:
    """Write everything, what holds a key first; `force` puts it in the place of what is there. Raises StateError."""
    try:
        for path, content in private.items():
            _put(path, content, force, private=True)
        for path, content in public.items():
            _put(path, content, force, private=False)
    except FileExistsError as error:
        raise Refused(f"{error.filename} exists already.", hint="--force puts a new one in its place") from error
    except OSError as error:
        where = error.filename or next(iter([*private, *public]))
        raise StateError(
            f"{where} cannot be written: {error.strerror}.", path=str(where), hint="name another folder with --out"
        ) from error


def _put(path: Path, content: bytes, force: bool, *, private: bool) -> None:
    _make_folder(path.parent)
    target = path.with_name(path.name + ".new") if force else path
    if force:
        target.unlink(missing_ok=True)  # what a crash left behind
    if private:
        create_private_file(target, content)
    else:
        _create_public_file(target, content)
    if force:
        target.replace(path)
    sync_folder(path.parent)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(error.errno, "it is not a folder", error.filename) from error


def _create_public_file(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, _PUBLIC_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
