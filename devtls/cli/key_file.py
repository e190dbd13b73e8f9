"""Files that leave the CA's folder: a key for its owner alone, a certificate for everybody.

Owns how they come to be: whole, with their mode from the first instant. Refuses to replace a file, and to write
through a link.
"""

from __future__ import annotations

from pathlib import Path

from devtls.errors import Refused, StateError
from devtls.system.execute import write_atomically
from devtls.system.private_files import create_private_file


def write_new(path: Path, key_pem: bytes, *, force: bool) -> None:
    """Write a key, mode 0600; raises Refused when there is something already and not `force`, StateError."""
    try:
        if force:
            write_atomically(path, key_pem, 0o600)
        else:
            create_private_file(path, key_pem)
    except FileExistsError as error:
        raise exists(path) from error
    except OSError as error:
        raise unwritable(path, error) from error


def write_public(path: Path, content: bytes, *, force: bool) -> None:
    """Write a certificate, mode 0644; raises what `write_new` raises."""
    if path.exists() and not force:
        raise exists(path)
    try:
        write_atomically(path, content, 0o644)
    except OSError as error:
        raise unwritable(path, error) from error


def exists(path: Path) -> Refused:
    """Return the error for a file that is in the way."""
    return Refused(f"{path} exists.", hint="--force replaces it")


def unwritable(path: Path, error: OSError) -> StateError:
    """Return the error for a place that takes no file."""
    return StateError(
        f"{path} cannot be written: {error.strerror or error}.", path=str(path), hint="name another with --out"
    )
