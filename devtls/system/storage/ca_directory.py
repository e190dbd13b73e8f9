"""The directory of one CA: the names of its files, and its removal.

Owns what a start has to know of these files; `generation` writes and parses them, with cryptography's x509.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

INTERMEDIATES = "intermediates.json"
"""The list of intermediates (`intermediate_list`)."""
KEY = "intermediate.key"
INTERMEDIATE = "intermediate.pem"
CRL = "intermediate.crl"
"""The files of the intermediate for servers; those of the others are called alike."""
ROOT = "root.pem"
ROOT_CRL = "root.crl"
ROOT_KEY = "root.key"
"""The root's key under a passphrase; only where it was kept."""
SEAL = "signer.json"
REGISTER = "register.jsonl"
IMPORT = "import.json"
"""The zones of a CA that was made elsewhere, which its constraints need not name."""

Lock = Callable[["IssuerKey"], bytes]
"""Encrypts a key under a passphrase and returns the container."""


class Locks(msgspec.Struct, frozen=True):
    """How the keys of a new CA are encrypted: the root's, which is dropped without it, and the intermediates'."""

    root: Lock | None = None
    intermediate: Lock | None = None


NO_LOCKS = Locks()


def key_file(name: str) -> str:
    """Return the file with the key of the intermediate that is called `name`."""
    return f"{name}.key"


def certificate_file(name: str) -> str:
    """Return the file with its certificate."""
    return f"{name}.pem"


def crl_file(name: str) -> str:
    """Return the file with its CRL."""
    return f"{name}.crl"


def remove_generation(directory: Path) -> None:
    """Remove one generation, the keys first; a link is removed, never followed."""
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink()
        return
    # Were we stopped here, what is left could sign nothing.
    for key in directory.glob(key_file("*")):
        key.unlink()
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
