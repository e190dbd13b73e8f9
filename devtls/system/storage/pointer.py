"""The file `ca.current`: the CA that signs, the next one, and the older ones.

Owns its format: the CA that signs now, the next one while a renewal is under way, and the older ones that are still
trusted. Refuses a file of a later version and whatever is not exactly of this shape. Format 1 knew the first only; it
is read as it is, and the next change writes the present format. Since format 3 a CA's directory may list several
intermediates (`intermediate_list`): an earlier devtls would sign with the wrong one.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import msgspec.json

from devtls.errors import StateError
from devtls.pki.leaf import NEW_CA

FORMAT = 3
GENERATION = re.compile(r"ca-[0-9a-f]{8}\Z")


class PointerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One CA: its directory, SHA-256 of its root (hex), its PKI port, SHA-256 of its `signer.json`, its end."""

    generation: str
    root_sha256: str
    pki_port: int
    seal_sha256: str = ""
    """"" for a CA that was made before there was a seal."""
    not_after: datetime | None = None
    """None for one that was made before this was noted."""
    id: str = ""
    """The root's short id."""

    @property
    def root_id(self) -> str:
        """The root's short id; where it was not noted, the directory has it in its name."""
        return self.id or self.generation.removeprefix("ca-")


class Pointer(PointerEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `ca.current`; its own fields are those of the CA that signs."""

    format: int
    next: PointerEntry | None = None
    older: tuple[PointerEntry, ...] = ()

    @property
    def current(self) -> PointerEntry:
        """The CA that signs."""
        return PointerEntry(**{name: getattr(self, name) for name in PointerEntry.__struct_fields__})

    @property
    def entries(self) -> tuple[PointerEntry, ...]:
        """Every CA that is kept, the one that signs first."""
        return (self.current, *([self.next] if self.next else []), *self.older)

    def renewed(self, entry: PointerEntry) -> Pointer:
        """Return the same with `entry` in the place of the one that has its generation."""

        def fresh(each: PointerEntry) -> PointerEntry:
            return entry if each.generation == entry.generation else each

        following = fresh(self.next) if self.next else None
        return point_at(fresh(self.current), following=following, older=tuple(map(fresh, self.older)))


class _PointerFormat(msgspec.Struct):
    format: int


def point_at(
    current: PointerEntry, *, following: PointerEntry | None = None, older: tuple[PointerEntry, ...] = ()
) -> Pointer:
    """Return what `ca.current` has to say."""
    return Pointer(**msgspec.structs.asdict(current), format=FORMAT, next=following, older=older)


def render_pointer(pointer: Pointer) -> bytes:
    """Return the content of the file."""
    return msgspec.json.format(msgspec.json.encode(pointer), indent=1) + b"\n"


def parse_pointer(content: bytes, path: Path) -> Pointer:
    """Return what the file says; raises StateError."""
    try:
        # First of all: what a later devtls wrote may have another shape, and is not damaged.
        written_by = msgspec.json.decode(content, type=_PointerFormat).format
        if written_by > FORMAT:
            raise StateError(
                f"The CA was written by a later devtls (format {written_by}, this one knows {FORMAT}).",
                path=str(path),
                hint="upgrade devtls",
            )
        pointer = msgspec.json.decode(content, type=Pointer)
    except (msgspec.DecodeError, ValueError) as error:
        raise StateError(f"{path} is damaged.", path=str(path), hint=NEW_CA) from error
    # The names become paths that are written to and removed: none may hold a slash.
    sound = all(GENERATION.match(each.generation) and 0 < each.pki_port < 65536 for each in pointer.entries)
    if not (sound and pointer.format > 0):
        raise StateError(f"{path} is damaged.", path=str(path), hint=NEW_CA)
    return pointer
