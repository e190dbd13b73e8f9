"""Our block in a hosts file, as bytes: reading it, writing it, taking it out.

Owns what stands between the two marker lines. Refuses a file whose markers do not pair and a block that holds a line
of somebody else's: a person fixes that. Everything outside is left as it is, byte for byte: line ends, a byte order
mark, characters of any encoding. Where the file lacks its last line end, one is added in front of the block; the
block's first line remembers that, and taking the block out takes it back.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from devtls.errors import InvalidName
from devtls.names import LOCALHOST, Hostname, parse_hostname, zone_of

ADDRESSES = ("127.0.0.1", "::1")
"""A name gets both: with one family alone, a resolver goes on to ask the network for the other, and may wait for it."""

_FORMAT = 1
_BEGIN, _END = b"# devtls begin", b"# devtls end"
# The text in it may change with versions; parentheses end it, so nothing can be hidden behind.
_FIRST_LINE = re.compile(rb"# devtls begin \(format (\d{1,9})(; line end added)?; [ -'*-~]*\)")
# Only lines as we write them: anything else in the block is somebody's work and must not vanish.
_ENTRY = re.compile(r"(?:127\.0\.0\.1|::1) ([a-z0-9._-]+)")


class UnusableHosts(ValueError):
    """The file cannot be edited; the text is half a sentence that names the line."""


@dataclass(frozen=True, slots=True)
class HostsText:
    """A hosts file around our block: `block` is empty when there is none, `names` what it holds.

    `added` is the line end that we put between `before` and the block.
    """

    before: bytes
    after: bytes = b""
    block: bytes = b""
    names: tuple[str, ...] = ()
    added: bytes = b""


def parse_hosts(content: bytes) -> HostsText:
    """Find the block. Raises UnusableHosts."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnusableHosts("it is UTF-16, which no resolver reads")
    lines = content.split(b"\n")
    begins = [number for number, line in enumerate(lines) if line.startswith(_BEGIN)]
    ends = [number for number, line in enumerate(lines) if line.startswith(_END)]
    _check_pairs(begins, ends)
    if not begins:
        return HostsText(content)
    (begin,), (end,) = begins, ends
    joined = _read_first_line(lines[begin], begin)
    if lines[end].rstrip() != _END:
        raise UnusableHosts(f"something follows the words in line {end + 1}, which ends devtls' block")
    names = tuple(dict.fromkeys(_read_entries(lines[begin + 1 : end], begin + 2)))
    before, block, after = _joined(lines[:begin]), _joined(lines[begin : end + 1]), b"\n".join(lines[end + 1 :])
    if end + 1 == len(lines):
        block = block[:-1]  # the file ends with the marker, without a line end
    added = b""
    if joined and before:
        added = b"\r\n" if lines[begin].endswith(b"\r") and before.endswith(b"\r\n") else b"\n"
    return HostsText(before[: len(before) - len(added)], after, block, names, added)


def write_block(content: bytes, names: Collection[str], newline: bytes = b"\n") -> bytes:
    """Return the file with a block for exactly these names, none without names. Raises UnusableHosts.

    `newline` is for a file that has no line end of its own to go by.
    """
    if not names:
        return remove_block(content)
    text = parse_hosts(content)
    newline = _style(text.before + text.after, newline)
    lacks = text.added or (not text.block and text.before and not text.before.endswith(b"\n"))
    note = b"; line end added" if lacks else b""
    lines = [
        b"%s (format %d%s; devtls setup writes this, devtls unsetup takes it out)" % (_BEGIN, _FORMAT, note),
        *(f"{address} {name}".encode("ascii") for name in names for address in ADDRESSES),
        _END,
    ]
    block = b"".join(line + newline for line in lines)
    return text.before + (newline if lacks else b"") + block + text.after


def remove_block(content: bytes) -> bytes:
    """Return the file as it was without the block. Raises UnusableHosts."""
    text = parse_hosts(content)
    # What was written behind the block since then needs the line end in front of it.
    return text.before + (text.added if text.after else b"") + text.after


def choose_names(held: Iterable[str], wanted: Iterable[str], zones: Collection[Hostname]) -> tuple[Hostname, ...]:
    """Return the names of the new block: those that it holds (another project's) and those that are desired.

    Names that lie in no zone any more are dropped; `localhost` is the system's own. Raises InvalidName for a wanted
    name that is none or lies in no zone.
    """
    kept = [Hostname(name) for name in held if zone_of(name, zones)]
    added = [_checked(name, zones) for name in wanted]
    # Every system ships a line for localhost itself; a second could contradict it.
    return tuple(name for name in dict.fromkeys((*kept, *added)) if name != LOCALHOST)


def has_marker(content: bytes) -> bool:
    """Say whether anything of ours is in the file, whole or not."""
    return any(line.startswith((_BEGIN, _END)) for line in content.split(b"\n"))


def read_addresses(content: bytes) -> dict[str, frozenset[str]]:
    """Return name -> the addresses that a whole file gives it, in the block and outside."""
    found: dict[str, frozenset[str]] = {}
    # Windows' editors write a byte order mark in front of the first line.
    for line in content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            found[name.lower()] = found.get(name.lower(), frozenset()) | {address}
    return found


def _checked(name: str, zones: Collection[Hostname]) -> Hostname:
    if (host := parse_hostname(name)) and not zone_of(host, zones):
        raise InvalidName(f"{host} lies in no zone of the CA.", name=name)
    return host


def _check_pairs(begins: list[int], ends: list[int]) -> None:
    if len(begins) > 1:
        raise UnusableHosts(f"a second block of devtls begins in line {begins[1] + 1}")
    if len(ends) > 1:
        raise UnusableHosts(f"devtls' block ends a second time in line {ends[1] + 1}")
    if begins and not ends:
        raise UnusableHosts(f"devtls' block begins in line {begins[0] + 1} and does not end")
    if ends and not (begins and begins[0] < ends[0]):
        raise UnusableHosts(f"devtls' block ends in line {ends[0] + 1} and does not begin before it")


def _read_first_line(line: bytes, number: int) -> bool:
    """Return whether a line end was added in front of the block."""
    read = _FIRST_LINE.fullmatch(line.rstrip())
    if read is None:
        raise UnusableHosts(f"the first line of devtls' block, line {number + 1}, was changed")
    # Its lines may mean more than we know: an older devtls must not rewrite them.
    if int(read[1]) > _FORMAT:
        raise UnusableHosts(f"a newer devtls wrote the block that begins in line {number + 1}")
    return read[2] is not None


def _read_entries(lines: Iterable[bytes], first: int) -> Iterator[str]:
    for number, line in enumerate(lines, first):
        entry = _ENTRY.fullmatch(line.decode("utf-8", "replace").strip())
        if entry:
            yield entry[1]
        elif line.strip():
            raise UnusableHosts(f"line {number} stands inside devtls' block and is not devtls' own")


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _style(content: bytes, otherwise: bytes) -> bytes:
    """Return the line end that most lines have."""
    lines = content.count(b"\n")
    windows = content.count(b"\r\n")
    return otherwise if not lines else b"\r\n" if windows * 2 > lines else b"\n"
