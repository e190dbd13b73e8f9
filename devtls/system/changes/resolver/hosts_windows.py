"""Windows' hosts file: its place, and the steps that write it with and without administrator rights.

Owns finding it (the registry's DataBasePath) and the commands. A process that may write the file writes it. Any other
writes a copy into its own directory, which a line of PowerShell, elevated by Windows' own question, reads once,
compares with the SHA-256 that stands in the line, and writes over the file: its permissions stay, and a copy that was
swapped meanwhile is refused. Its plans are tested, no Windows has run them yet; antivirus programs are known to undo
such changes, so the file is read again.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

from devtls.system.changes.resolver.hosts import HostsFacts
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import QUICK_S, MakeDirectory, RemoveFile, Run, Step, WriteFile
from devtls.system.machine.run_as import quoted, run_script_as_administrator, system_directory, was_refused

_SYSTEM_ROOT = re.compile("%(SystemRoot|windir)%", re.IGNORECASE)
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


def find_directory() -> PureWindowsPath:
    """Return the directory that the registry names, else the usual one."""
    system = system_directory()
    # Not by the variable: a project may have set it.
    named = PureWindowsPath(_SYSTEM_ROOT.sub(lambda _: str(system.parent), _registered()))
    return named if named.is_absolute() else system / "drivers" / "etc"


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
        self._look = look
        self.path = (directory or find_directory()) / "hosts"
        local = machine.environ.get("LOCALAPPDATA") or str(PureWindowsPath(machine.home) / "AppData" / "Local")
        self._copy = PureWindowsPath(local) / "devtls" / "setup" / "hosts"

    @property
    def flush(self) -> tuple[Run, ...]:
        """Return the command that empties the resolver's cache."""
        return (Run((str(system_directory() / "ipconfig.exe"), "/flushdns"), timeout_s=QUICK_S),)

    def look(self) -> HostsFacts:
        """Read the file."""
        return self._look(self.path)

    def put(self, facts: HostsFacts, content: bytes) -> tuple[Step, ...]:
        """Return: write it, or have a copy laid over it."""
        if facts.writable:
            return (WriteFile(self.path, content),)
        lay_over = run_script_as_administrator(_copying_script(self._copy, self.path, content))
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


def _copying_script(copy: PureWindowsPath, path: PureWindowsPath, content: bytes) -> str:
    """Return a line of PowerShell that writes a copy over the file if it holds `content`, and exits with 5 if not."""
    digest, file = hashlib.sha256(content).hexdigest().upper(), quoted(str(path))
    return (
        f"$b=[IO.File]::ReadAllBytes({quoted(str(copy))}); "
        "$h=[BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash($b)).Replace('-',''); "
        f"if($h -ne '{digest}'){{exit 5}}; "
        # Written in place: the file keeps its access control list. A read-only one is opened and closed again.
        f"$a=if([IO.File]::Exists({file})){{[IO.File]::GetAttributes({file})}}; "
        f"if($a){{[IO.File]::SetAttributes({file},'Normal')}}; [IO.File]::WriteAllBytes({file},$b); "
        f"if($a){{[IO.File]::SetAttributes({file},$a)}}"
    )
