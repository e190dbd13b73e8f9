"""One setting in the files of sysctl.d(5): ours, those of others, and the one that wins at boot.

Owns reading them, their order, and the text of our own file. Refuses to take a file for ours that differs from what we
write by more than its numbers: somebody has changed it, so it is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEY = "net.ipv4.ip_unprivileged_port_start"
# sysctl.d(5) recommends 60 to 90 for files in /etc: behind the distribution's own.
OWN_FILE = "etc/sysctl.d/60-devtls.conf"

_DIRECTORIES = ("etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d")
"""A file in an earlier directory takes the place of one with its name in a later one."""
# `sysctl --system` reads it behind all directories (sysctl(8)).
_READ_LAST = "etc/sysctl.conf"
_LARGEST = 1 << 20
_TEXT = """\
# Made by `devtls setup ports`. The value before was {before}; `devtls unsetup ports` brings it back.
# Programs of every user may listen on ports from this one up.
{key} = {value}
"""
_NUMBER = r"(\d{1,5})"
_OURS = re.compile(_NUMBER.join(map(re.escape, _TEXT.format(before="\0", key=KEY, value="\0").split("\0"))))
# Dots and slashes are both separators; a leading - means that a failure is ignored (sysctl.d(5)).
_SETTING = re.compile(r"^\s*-?\s*net[./]ipv4[./]ip_unprivileged_port_start\s*=\s*(\d{1,5})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OwnFile:
    """Our file: the value that it sets, and the one from before it."""

    value: int
    before: int


@dataclass(frozen=True, slots=True)
class Setting:
    """The value in another file; `after_ours` = it is read later, so that its word counts."""

    path: Path
    value: int
    after_ours: bool


def write_own(value: int, before: int) -> bytes:
    """Return the content of our file."""
    return _TEXT.format(key=KEY, value=value, before=before).encode("ascii")


def read_own(root: Path) -> OwnFile | str | None:
    """Return our file below `root`, why what is there is none of ours, or None."""
    path = root / OWN_FILE
    # An elevated write would follow it to a file of somebody else's choice.
    if path.is_symlink():
        return "a link is there"
    try:
        text = _read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    found = _OURS.fullmatch(text)
    return OwnFile(int(found[2]), int(found[1])) if found else "somebody else wrote or changed it"


def read_others(root: Path) -> tuple[Setting, ...]:
    """Return the values in the other files, in the order in which they are read at boot."""
    own = Path(OWN_FILE).name
    found = []
    for path in _in_order(root):
        try:
            values = _SETTING.findall(_read(path))
        except OSError:
            continue
        if values:
            last = path == root / _READ_LAST
            found.append(Setting(path, int(values[-1]), last or path.name > own))
    return tuple(found)


def _in_order(root: Path) -> Iterator[Path]:
    by_name: dict[str, Path] = {}
    for directory in _DIRECTORIES:
        for path in (root / directory).glob("*.conf"):
            # Files of one name hide each other; then all are sorted by name, whatever their directory (sysctl.d(5)).
            by_name.setdefault(path.name, path)
    by_name.pop(Path(OWN_FILE).name, None)
    yield from (by_name[name] for name in sorted(by_name))
    yield root / _READ_LAST


def _read(path: Path) -> str:
    with path.open("rb") as opened:
        return opened.read(_LARGEST).decode("utf-8", "replace")
