"""Certificate, key and PKCS #12 files for other servers.

Owns their names and how they come to be: keys with mode 0600 from the first instant, nothing through a link, the key
on disk before its certificate, all of them or none. Refuses to overwrite unless that was said.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from devtls.errors import Refused, StateError
from devtls.pki.certify import RSA_BITS
from devtls.pki.leaf import Name
from devtls.pki.pkcs12 import write_key_file
from devtls.system.machine.private_files import sync_directory

_KEY_MODE, _MODE = 0o600, 0o644
_SALT_BYTES = 16
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_certificate_key(key_type: str) -> Key:
    """Return a fresh key, "ecdsa" (P-256) or "rsa" (2,048 bits)."""
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def file_stem(name: Name) -> str:
    """Return what the files for a name are called, as every file system takes it."""
    # Windows takes neither * nor : in a file's name.
    return str(name).replace("*", "_wildcard").replace(":", "_")


def key_file(key: Key) -> bytes:
    """Return the content of a key's file: PKCS #8, PEM, no passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def chain_file(chain: Iterable[x509.Certificate]) -> bytes:
    """Return certificates as PEM, one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def pkcs12_file(key: Key, chain: list[x509.Certificate], name: str, passphrase: bytes) -> bytes:
    """Return key and chain as PKCS #12, encrypted (AES-256, PBKDF2)."""
    return write_key_file(key, chain, name, passphrase, os.urandom(_SALT_BYTES))


def refuse_to_overwrite(paths: Iterable[Path]) -> None:
    """Raise Refused when one of `paths` is there."""
    # A link that leads nowhere counts, too.
    taken = [path for path in paths if os.path.lexists(path)]
    if taken:
        raise Refused(
            f"{' and '.join(str(path) for path in taken)} {'exists' if len(taken) == 1 else 'exist'} already.",
            hint="--force puts new ones in their place, --out DIR writes elsewhere",
        )


def write_files(private: Mapping[Path, bytes], public: Mapping[Path, bytes], *, force: bool) -> None:
    """Write everything or nothing, what holds a key first; `force` puts it in the place of what is there.

    Raises Refused, StateError.
    """
    written: dict[Path, Path] = {}
    try:
        for path, content in private.items():
            _write(path, content, written, force=force, private=True)
        for path, content in public.items():
            _write(path, content, written, force=force, private=False)
        # Only now that all of them are on disk: a full disk leaves the old files as they were.
        for path in list(written):
            _put(written[path], path)
            del written[path]
    except FileExistsError as error:
        raise Refused(f"{error.filename} exists already.", hint="--force puts a new one in its place") from error
    except OSError as error:
        where = error.filename or next(iter([*private, *public]))
        raise StateError(
            f"{where} cannot be written: {error.strerror}.", path=str(where), hint="name another folder with --out"
        ) from error
    finally:
        for unfinished in written.values():
            unfinished.unlink(missing_ok=True)


def _write(path: Path, content: bytes, written: dict[Path, Path], *, force: bool, private: bool) -> None:
    """Write a file, with `force` under a name beside its own, and note where before it holds anything."""
    _make_directory(path.parent)
    # Or the rename would fail later, after other files were replaced.
    if force and path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    target = path.with_name(f"{path.name}.{os.getpid()}.new") if force else path
    if force:
        target.unlink(missing_ok=True)  # what a crash left behind
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, _KEY_MODE if private else _MODE)
    written[path] = target
    with os.fdopen(descriptor, "wb") as file:
        if private and sys.platform != "win32":
            os.fchmod(descriptor, _KEY_MODE)  # a umask can only have taken bits away
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _put(target: Path, path: Path) -> None:
    if target != path:
        target.replace(path)
    sync_directory(path.parent)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(error.errno, "it is not a folder", error.filename) from error
