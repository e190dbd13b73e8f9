"""Line numbers of the keys in a TOML text, which tomllib does not tell.

Owns a scan for `[table]` headers and `key =` at the start of a line. It refuses nothing and may miss (a key inside an
inline table belongs to the table's line; text inside a multi-line string can look like a key): a wrong or missing
line never changes what the configuration means.
"""

from __future__ import annotations

import re

Key = tuple[str, ...]

_PART = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[A-Za-z0-9_-]+)"
_DOTTED = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*\[\[?[ \t]*({_DOTTED})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_PARTS = re.compile(_PART)
# A name and a path prefix.
_LONGEST_PART, _KEPT = 400, 60


def key_lines(text: str) -> dict[Key, int]:
    """Return the line (from 1) of every key and table header in `text`, tables above it included; the first counts."""
    lines: dict[Key, int] = {}
    table: Key = ()
    # Not splitlines: that counts \x0b, \x0c and others, which are no line ends in TOML.
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            table = key = _parts(header[1])
        elif assignment := _ASSIGNMENT.match(line):
            key = table + _parts(assignment[1])
        else:
            continue
        for length in range(1, len(key) + 1):
            lines.setdefault(key[:length], number)
    return lines


def find_line(lines: dict[Key, int], key: Key) -> int:
    """Return the line of `key`, or of the nearest table that holds it, or 0."""
    for length in range(len(key), 0, -1):
        if line := lines.get(key[:length]):
            return line
    return 0


def dotted(key: Key) -> str:
    """Return a key as it would be written: `routes."app/api"`; a part that is longer than any name is cut."""
    cut = (part if len(part) <= _LONGEST_PART else f"{part[:_KEPT]}…" for part in key)
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{visible(part)}"' for part in cut)


def visible(text: str) -> str:
    """Return `text` on one line, what cannot be seen escaped: a cloned file must not draw its own report."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _parts(text: str) -> Key:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PARTS.findall(text))
