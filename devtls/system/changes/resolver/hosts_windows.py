"""Windows' hosts file: its place, and the steps that write it with and without administrator rights.

Owns finding it (the registry's DataBasePath) and the commands. A process that may write the file writes it. Any other
writes a copy into its own directory, which xcopy.exe, elevated by Windows' own question, lays over the file: its
permissions stay. A file of that name is a directory's worth of argument for xcopy, so it asks nothing. Its plans are
tested, no Windows has run them yet; antivirus programs are known to undo such changes, so the file is read again.
"""

from __future__ import annotations

import ntpath
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath

from devtls.system.changes.resolver.hosts import HostsFacts
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import QUICK_S, MakeDirectory, RemoveFile, Run, Step, WriteFile
from devtls.system.machine.run_as import run_as_administrator, system_directory, was_refused

_PARAMETERS = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters"

if sys.platform == "win32":
    import winreg

    def _registered() -> str:
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _PARAMETERS) as key:
                return str(winreg.QueryValueEx(key, "DataBasePath")[0])
        except OSError:
            return ""
else:

    def _registered() -> str:
        return ""


def find_directory(environ: Mapping[str, str]) -> PureWindowsPath:
    """Return the directory that the registry names, else the usual one."""
    named = PureWindowsPath(ntpath.expandvars(_registered()))
    return named if named.is_absolute() else system_directory(environ) / "drivers" / "etc"


def look_at(path: PureWindowsPath) -> HostsFacts:
    """Read the file, and see whether this process may write it: opening changes nothing."""
    file = Path(path)
    link = os.path.realpath(file) if file.is_symlink() else ""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return HostsFacts(None, link=link)
    except OSError as error:
        return HostsFacts(link=link, trouble=(error.strerror or str(error)).lower())
    try:
        # os.access tells of the read-only attribute alone on Windows, not of ACLs.
        with file.open("r+b"):
            return HostsFacts(content, link=link, writable=True)
    except OSError:
        return HostsFacts(content, link=link)


class WindowsHosts:
    """The HostsPlace of Windows; `look` is the seam where tests put their own."""

    newline = b"\r\n"

    def __init__(
        self,
        machine: Machine,
        *,
        directory: PureWindowsPath | None = None,
        look: Callable[[PureWindowsPath], HostsFacts] = look_at,
    ) -> None:
        self._environ = machine.environ
        self._look = look
        self.path = (directory or find_directory(machine.environ)) / "hosts"
        local = machine.environ.get("LOCALAPPDATA") or str(PureWindowsPath(machine.home) / "AppData" / "Local")
        self._copy = PureWindowsPath(local) / "devtls" / "setup" / "hosts"

    @property
    def flush(self) -> tuple[Run, ...]:
        """Return the command that empties the resolver's cache."""
        return (Run((str(system_directory(self._environ) / "ipconfig.exe"), "/flushdns"), timeout_s=QUICK_S),)

    def look(self) -> HostsFacts:
        """Read the file."""
        return self._look(self.path)

    def put(self, facts: HostsFacts, content: bytes) -> tuple[Step, ...]:
        """Return: write it, or have a copy laid over it."""
        if facts.writable:
            return (WriteFile(self.path, content),)
        xcopy = system_directory(self._environ) / "xcopy.exe"
        # xcopy keeps the ACL of the file that it writes over; a move would bring our directory's.
        lay_over = run_as_administrator(
            self._environ, xcopy, (str(self._copy), str(self.path.parent), "/Y", "/R", "/Q")
        )
        return (MakeDirectory(self._copy.parent), WriteFile(self._copy, content), lay_over, RemoveFile(self._copy))

    def take_away(self, facts: HostsFacts) -> tuple[Step, ...]:
        """Return: an empty file, which is what Windows takes a missing one for."""
        return self.put(facts, b"")

    def sweep(self, facts: HostsFacts) -> tuple[Step, ...]:
        """Return the removal of the copy."""
        return (RemoveFile(self._copy),)

    def refused(self, detail: str) -> bool:
        """Whether Windows' question was answered with no."""
        return was_refused(detail)
