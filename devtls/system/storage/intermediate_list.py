"""`intermediates.json`: the intermediates of a CA, in the order in which they are asked to sign.

Owns its format, and the names of the files that belong to each. Refuses a list of a later version, and names that
could lead out of the directory. A CA without the file has one intermediate for servers and clients, as earlier
versions made it and as an import brings it; nothing is migrated. For one purpose the first that fits signs: a CA may
list more of them than sign today.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec.json

from devtls.errors import StateError
from devtls.pki.intermediate import SERVER_INTERMEDIATE, Intermediate
from devtls.pki.leaf import NEW_CA
from devtls.pki.profile import Purpose
from devtls.system.machine.private_files import read_private_file
from devtls.system.storage.ca_directory import INTERMEDIATES

_FORMAT = 1
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


class ListedIntermediate(msgspec.Struct, frozen=True):
    """One line: what the intermediate is called in file names, and for what it signs."""

    name: str
    purpose: Purpose


class _IntermediateList(msgspec.Struct, frozen=True):
    format: int
    intermediates: tuple[ListedIntermediate, ...]


class _ListVersion(msgspec.Struct, frozen=True):
    format: int


_ONE_FOR_ALL = (ListedIntermediate(SERVER_INTERMEDIATE, "any"),)


def render_list(intermediates: Iterable[Intermediate]) -> bytes:
    """Return the content of the file."""
    listed = tuple(ListedIntermediate(each.name, each.purpose) for each in intermediates)
    return msgspec.json.format(msgspec.json.encode(_IntermediateList(_FORMAT, listed)), indent=1) + b"\n"


def read_list(directory: Path) -> tuple[ListedIntermediate, ...]:
    """Return the intermediates of the CA in a directory, at least one. Raises StateError."""
    path = directory / INTERMEDIATES
    try:
        content = read_private_file(path)
    except FileNotFoundError:
        return _ONE_FOR_ALL
    try:
        version = msgspec.json.decode(content, type=_ListVersion).format
        if version > _FORMAT:
            raise StateError(
                f"The CA's intermediates were written by a later devtls (format {version}, this one knows {_FORMAT}).",
                path=str(path),
                hint="upgrade devtls",
            )
        listed = msgspec.json.decode(content, type=_IntermediateList).intermediates
    except msgspec.DecodeError as error:
        raise StateError(f"{path} is damaged.", path=str(path), hint=NEW_CA) from error
    names = [each.name for each in listed]
    sound = len(set(names)) == len(names) and all(map(_NAME.match, names))
    # The first one's files are those that the seal holds, so its name is fixed, and it signs for servers.
    if not sound or names[:1] != [SERVER_INTERMEDIATE] or listed[0].purpose == "client":
        raise StateError(f"{path} is damaged.", path=str(path), hint=NEW_CA)
    return listed
