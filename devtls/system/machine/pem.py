"""A path for a certificate and its key: OpenSSL loads them from files only.

Owns the one way a leaf's key leaves memory. On Linux it does not: a memfd is a file without a directory. Elsewhere it
is a file in the state directory, unlinked as soon as OpenSSL has read it (`encrypted_pem`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Pythons that were built for an old glibc lack it on Linux, too.
if sys.platform == "linux" and hasattr(os, "memfd_create"):

    @contextmanager
    def pem_path(directory: Path, pem: bytes) -> Iterator[tuple[str, str | None]]:
        """Yield a path that `pem` (certificates, then one unencrypted key or none) can be read from, and its password.

        No file is made in `directory`.
        """
        # Closed on exec: a child must not inherit a key.
        descriptor = os.memfd_create("devtls-leaf", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)  # a memfd takes everything at once: there is no disk to be full
            yield f"/proc/self/fd/{descriptor}", None
        finally:
            os.close(descriptor)
else:
    from devtls.system.machine.encrypted_pem import encrypted_file as pem_path

__all__ = ["pem_path"]
