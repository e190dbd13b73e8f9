"""A path for PEM bytes that `ssl.SSLContext.load_cert_chain` can open, since it takes nothing else.

Owns the moment in which a leaf's key has a name in the file system. On Linux it never has one that others can open: a memfd,
reached through our own /proc entry. Elsewhere it is a file made 0600 in our state folder, with the key encrypted under a
password used once, gone before the next name is minted.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def pem_path(pem: bytes, folder: Path | None = None) -> Iterator[tuple[str, str | None]]:
    """Yield (path, password) for a certificate chain followed by its key; `folder` is where a file may be made.

    Raises OSError when neither a memfd nor a file can be made.
    """
    if sys.platform == "linux":
        descriptor = os.memfd_create("devtls-leaf", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)
            yield f"/proc/self/fd/{descriptor}", None
        finally:
            os.close(descriptor)
        return
    password = secrets.token_hex(16)
    descriptor, path = tempfile.mkstemp(prefix="leaf-", suffix=".pem", dir=folder)  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_with_encrypted_key(pem, password))
        yield path, password
    finally:
        Path(path).unlink(missing_ok=True)


def _with_encrypted_key(pem: bytes, password: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    chain, marker, rest = pem.partition(b"-----BEGIN PRIVATE KEY-----")
    key = load_pem_private_key(marker + rest, None)
    return chain + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
