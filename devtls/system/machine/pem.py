"""A path for a certificate and its key: OpenSSL loads them from files only.

Owns the one way a leaf's key leaves memory. On Linux it does not: a memfd is a file without a folder. Elsewhere it is
a 0600 file in the state folder, its key encrypted under a password that is used once and never written, unlinked as
soon as OpenSSL has read it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KEY_MARK = b"-----BEGIN PRIVATE KEY-----"


@contextmanager
def pem_path(directory: Path, pem: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield a path that `pem` (certificates, then one unencrypted key or none) can be read from, and its password."""
    if sys.platform == "linux" and hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("devtls-leaf", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)  # a memfd takes everything at once: there is no disk to be full
            yield f"/proc/self/fd/{descriptor}", None
        finally:
            os.close(descriptor)
    else:
        with encrypted_file(directory, pem) as found:
            yield found


@contextmanager
def encrypted_file(directory: Path, pem: bytes) -> Iterator[tuple[str, str]]:
    """Yield the path of a short-lived file in `folder` and the password of the key in it."""
    import secrets

    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    from devtls.system.machine.private_files import create_private_file

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
