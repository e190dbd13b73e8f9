"""/etc/hosts of Linux, macOS and the BSDs: reading it, and the commands that put another text in its place.

Owns the way: a file beside it with the old one's mode and owner, then a rename, so that whoever reads meanwhile finds
the old text or the new one, whole. Two commands are the least for that: `sed -i` would be one, but which bytes it
writes differs from sed to sed, and neither `tee`, `cp` nor `install` replaces a file at once. A hosts file that is a
mount of its own (in containers) cannot be replaced at all (rename(2): EBUSY): there `tee` writes it in place. Outside
Linux `install` reads no pipe, so the file beside it is a copy that `tee` fills.
"""

from __future__ import annotations

import os
from pathlib import Path

from devtls.system.changes.resolver.hosts import HostsFacts
from devtls.system.machine.machine import Machine, is_read_only
from devtls.system.machine.plan import ELEVATED_S, RemoveFile, Run, Step, Unchanged, WriteFile

# In full: with sudo, PATH is not to decide what runs as root.
_COPY, _MOVE = "/bin/cp", "/bin/mv"
# Both: the directory service caches, and mDNSResponder has a cache of its own.
_MACOS_FLUSH = (("/usr/bin/dscacheutil", "-flushcache"), ("/usr/bin/killall", "-HUP", "mDNSResponder"))


class UnixHosts:
    """The HostsPlace of /etc/hosts."""

    newline = b"\n"

    def __init__(self, machine: Machine) -> None:
        self._root = machine.root
        self._platform = machine.platform
        self.path = machine.root / "etc" / "hosts"
        # In the same directory: a rename is atomic within one file system only (rename(2)).
        self._beside = self.path.with_name(".hosts.devtls")

    @property
    def flush(self) -> tuple[Run, ...]:
        """On macOS the two commands that empty its caches; elsewhere the file is read at each look-up."""
        commands = _MACOS_FLUSH if self._platform == "darwin" else ()
        return tuple(_elevated(*command) for command in commands)

    def look(self) -> HostsFacts:
        """Read the file and what it stands on."""
        link = os.path.realpath(self.path) if self.path.is_symlink() else ""
        mounted = is_mount_point(self._read_mounts(), str(self.path))
        try:
            about = self.path.stat()
            content = self.path.read_bytes()
        except FileNotFoundError:
            return HostsFacts(None, link=link, read_only=is_read_only(self.path.parent))
        except OSError as error:
            return HostsFacts(link=link, trouble=(error.strerror or str(error)).lower())
        return HostsFacts(
            content,
            mode=about.st_mode & 0o7777,
            owner=(about.st_uid, about.st_gid),
            link=link,
            mounted=mounted,
            read_only=is_read_only(self.path if mounted else self.path.parent),
            left_over=self._beside.is_file(),
            labelled=(self._root / "sys/fs/selinux/enforce").is_file(),
        )

    def _read_mounts(self) -> str:
        try:
            return (self._root / "proc/self/mountinfo").read_text("utf-8", "replace")
        except OSError:
            return ""

    def put(self, facts: HostsFacts, content: bytes) -> tuple[Step, ...]:
        """Return the commands for the system at hand."""
        # rename(2) fails with EBUSY on a mount point, as /etc/hosts is in containers.
        if facts.mounted:
            return (WriteFile(self.path, content, None, elevate=True, tool="tee"),)
        still = Unchanged(self.path, facts.sha256)  # whoever was asked for a password took time to answer
        if self._platform == "linux":
            sweep = self.sweep(facts) if facts.left_over else ()
            label = ("-Z",) if facts.labelled else ()  # of the name, not of the file that it was
            write = WriteFile(self._beside, content, facts.mode, elevate=True, owner=facts.owner)
            return (*sweep, write, still, self._both(_MOVE, "-f", *label, "--", places=(self._beside, self.path)))
        if facts.content is None:
            return (WriteFile(self.path, content, elevate=True, tool="tee"),)
        return (
            # The copy brings mode and owner; install of macOS reads no pipe.
            self._both(_COPY, "-p", places=(self.path, self._beside)),
            WriteFile(self._beside, content, None, elevate=True, tool="tee"),
            still,
            self._both(_MOVE, "-f", places=(self._beside, self.path)),
        )

    def _both(self, *argv: str, places: tuple[Path, Path]) -> Run:
        return Run((*argv, *map(str, places)), elevate=True, timeout_s=ELEVATED_S, touches=places)

    def take_away(self, facts: HostsFacts) -> tuple[Step, ...]:
        """Return the removal of the file."""
        return (RemoveFile(self.path, elevate=True),)

    def sweep(self, facts: HostsFacts) -> tuple[Step, ...]:
        """Return the removal of the file beside it."""
        return (RemoveFile(self._beside, elevate=True),)

    def refused(self, detail: str) -> bool:
        """No dialog is asked here."""
        return False


def is_mount_point(mountinfo: str, path: str) -> bool:
    """Say whether something is mounted at exactly `path` (proc(5): the fifth field, octal escapes)."""
    fields = (line.split(" ") for line in mountinfo.splitlines())
    return any(len(field) > 4 and field[4].replace("\\040", " ") == path for field in fields)


def _elevated(*argv: str) -> Run:
    return Run(argv, elevate=True, timeout_s=ELEVATED_S)
