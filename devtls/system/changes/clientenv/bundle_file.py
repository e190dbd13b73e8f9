"""A PEM bundle of ours, with a head that names the roots it adds ours to.

Owns that head. Without it, a shell in which `devtls env` ran already would lose the user's own file: its variable
names our bundle by then. Lines before the first certificate are ignored by every reader of PEM (RFC 7468 2).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from devtls.system.changes.truststore.root import pem_of

# Text in front of the first BEGIN line is ignored by readers of PEM (RFC 7468 section 2).
_MARK = b"# Made by devtls env, which makes it anew: what is changed here is lost.\n"
_BASE = b"# The roots before ours are those of "
_SYSTEM = b"this system.\n"


def render_bundle(certificates: Iterable[bytes], base: str) -> bytes:
    """Return the file; `base` is the path of the file that it extends, "" = the system's roots."""
    # JSON keeps a path with a line end on one line: it could end the head otherwise.
    named = _SYSTEM if not base else json.dumps(base).encode() + b"\n"
    return b"".join([_MARK, _BASE, named, *(pem_of(der) for der in certificates)])


def head_of(data: bytes) -> bytes:
    """Return the head of a bundle that we made, b"" for any other file."""
    if not data.startswith(_MARK + _BASE):
        return b""
    return data[: data.index(b"\n", len(_MARK)) + 1] if b"\n" in data[len(_MARK) :] else b""


def base_of(data: bytes) -> str | None:
    """Return the path of the file that a bundle of ours extends ("" = the system's), None when it is not ours."""
    named = head_of(data).removeprefix(_MARK + _BASE)
    if named in (b"", _SYSTEM):
        return "" if named else None
    try:
        path = json.loads(named)
    except ValueError:
        return ""
    return path if isinstance(path, str) else ""
