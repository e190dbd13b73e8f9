"""The process that listens on a port: its name and id, or its user.

Owns reading Linux's /proc (tcp, udp and their siblings for IPv6, and the open files of every process that we may look
into). Refuses to guess: another system, or a process that ended meanwhile is "".
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

# TCP_LISTEN and TCP_CLOSE (Linux, net/tcp_states.h): a UDP socket without a peer is in the latter.
_OPEN = {"tcp": "0A", "udp": "07"}
"""The state of a listening socket."""
_PROC = Path("/proc")


class _TableLine(msgspec.Struct, frozen=True):
    """A line of a table; the address is in the kernel's own hexadecimal, 32 bits at a time in the host's order."""

    address: str
    uid: int
    inode: str

    @property
    def on_loopback(self) -> bool:
        groups = [bytes.fromhex(self.address[start : start + 8]) for start in range(0, len(self.address), 8)]
        if sys.byteorder == "little":
            groups = [group[::-1] for group in groups]
        address = ipaddress.ip_address(b"".join(groups))
        # A socket of IPv6 on ::ffff:127.0.0.1 takes connections of IPv4.
        mapped = getattr(address, "ipv4_mapped", None)
        return address.is_unspecified or (mapped or address).is_loopback


class Holder(msgspec.Struct, frozen=True):
    """The process that listens on a port, as text ("" = unknown), and the descriptor of its socket in /proc."""

    words: str
    descriptor: Path | None = None
    socket: str = ""

    @property
    def stays(self) -> bool:
        """Whether it holds the port still: a look at one descriptor, where finding it took those of every process."""
        return self.descriptor is not None and _target(self.descriptor) == self.socket


def port_holder(port: int, *, protocol: Literal["tcp", "udp"] = "tcp", proc: Path = _PROC) -> str:
    """Return `nginx (process 1234)` or `a program of alice` for who listens on `port`; "" = cannot be found out."""
    return find_holder(port, protocol=protocol, proc=proc).words


def find_holder(port: int, *, protocol: Literal["tcp", "udp"] = "tcp", proc: Path = _PROC) -> Holder:
    """Return the same in a form that can be asked again."""
    tables, state = (proc / "net" / protocol, proc / "net" / f"{protocol}6"), _OPEN[protocol]
    listening = [found for table in tables for found in _listening(table, port, state)]
    inodes = {f"socket:[{each.inode}]" for each in listening}
    if not inodes:
        return Holder("")
    for directory in proc.glob("[0-9]*"):
        if (descriptor := _descriptor_of(directory / "fd", inodes)) is not None:
            return Holder(f"{_name(directory)} (process {directory.name})", descriptor, _target(descriptor))
    return Holder(_owner({each.uid for each in listening}))


def is_listened_to(port: int, *, proc: Path = _PROC) -> bool:
    """Say whether any process, of any user, listens for TCP on `port` on a loopback address, or on all addresses."""
    tables = (proc / "net" / "tcp", proc / "net" / "tcp6")
    return any(each.on_loopback for table in tables for each in _listening(table, port, _OPEN["tcp"]))


if sys.platform == "win32":

    def _owner(uids: set[int]) -> str:
        return ""
else:
    import pwd

    def _owner(uids: set[int]) -> str:
        """Return whose program it is, when that is another user; the kernel tells that much of everybody."""
        others = uids - {os.geteuid()}
        if len(uids) != 1 or not others:
            return ""
        uid = others.pop()
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:
            user = f"user {uid}"
        return f"a program of {user}"


def _listening(table: Path, port: int, state: str) -> Iterator[_TableLine]:
    try:
        lines = table.read_text("ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        # sl local_address rem_address st ... inode: proc(5)
        fields = line.split()
        if len(fields) > 9 and fields[3] == state and int(fields[1].rpartition(":")[2], 16) == port:
            yield _TableLine(fields[1].rpartition(":")[0], int(fields[7]), fields[9])


def _descriptor_of(descriptors: Path, inodes: set[str]) -> Path | None:
    try:
        return next((entry for entry in descriptors.iterdir() if _target(entry) in inodes), None)
    except OSError:  # not ours to look into, or gone
        return None


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)  # noqa: PTH115 - "socket:[123]" is no path
    except OSError:
        return ""


def _name(directory: Path) -> str:
    try:
        return (directory / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "a process"
