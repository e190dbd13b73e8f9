"""A short-lived file for a certificate and its key, where there is no memfd.

Owns the file: mode 0600, its key encrypted under a password that is used once and never written.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from devtls.system.machine.private_files import create_private_file

_KEY_MARK = b"-----BEGIN PRIVATE KEY-----"


@contextmanager
def encrypted_file(directory: Path, pem: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield the path of a file in `directory` with `pem` (certificates, then one key or none), and its password."""
    chain, mark, key = pem.partition(_KEY_MARK)
    password, locked = secrets.token_urlsafe(32), b""
    if mark:
        locked = load_pem_private_key(_KEY_MARK + key, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
        )
    path = directory / f"leaf-{secrets.token_hex(8)}.pem"
    try:
        create_private_file(path, chain + locked)
        yield str(path), password
    finally:
        path.unlink(missing_ok=True)
