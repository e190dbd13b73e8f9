"""One elevated command on Windows, by the User Account Control prompt.

Owns the line of PowerShell that asks and waits. Refuses to take the directory of Windows' programs from a variable,
which a project could set: Windows itself is asked. PowerShell that asks is not elevated, the program that it starts
is; its exit code comes back. An elevated line of PowerShell finds modules in Windows' own directory only, and names in
itself what it needs of a file that the user can write: its content, or its SHA-256.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PureWindowsPath

from devtls.system.machine.plan import ELEVATED_S, Run

# ERROR_CANCELLED: as a number, or in PowerShell's words.
_DECLINED = ("1223", "canceled by the user", "cancelled by the user")
_LONGEST_PATH = 260
# The user's own directory of modules stands first in the variable: a command of that name there would be elevated.
_OWN_MODULES = "$env:PSModulePath=$PSHOME+'\\Modules'"

if sys.platform == "win32":
    import ctypes

    def system_directory() -> PureWindowsPath:
        """Return Windows' System32."""
        text = ctypes.create_unicode_buffer(_LONGEST_PATH)
        ctypes.windll.kernel32.GetSystemDirectoryW(text, _LONGEST_PATH)
        return PureWindowsPath(text.value)
else:

    def system_directory() -> PureWindowsPath:
        """Return the usual place of Windows' System32, for plans that are only shown."""
        return PureWindowsPath(r"C:\Windows\System32")


def powershell() -> PureWindowsPath:
    """Return the PowerShell that comes with Windows."""
    return system_directory() / "WindowsPowerShell" / "v1.0" / "powershell.exe"


def run_script(script: str, timeout_s: float = ELEVATED_S) -> Run:
    """Return the command that runs a line of PowerShell as the user."""
    return Run((str(powershell()), *_script_arguments(script)), timeout_s=timeout_s)


def _script_arguments(script: str) -> tuple[str, ...]:
    return ("-NoProfile", "-NonInteractive", "-Command", script)


def run_as_administrator(program: PureWindowsPath, arguments: Sequence[str]) -> Run:
    """Return the command that starts `program` elevated and waits for it."""
    # Start-Process joins the arguments with blanks and quotes none of them.
    words = ",".join(quoted(f'"{word}"' if " " in word else word) for word in arguments)
    return run_script(
        f"exit (Start-Process -FilePath {quoted(str(program))} -ArgumentList {words} "
        "-Verb RunAs -Wait -PassThru -WindowStyle Hidden).ExitCode"
    )


def run_script_as_administrator(script: str) -> Run:
    """Return the command that runs a line of PowerShell elevated; double quotes do not get through to it."""
    return run_as_administrator(powershell(), _script_arguments(f"{_OWN_MODULES}; {script}"))


def was_refused(detail: str) -> bool:
    """Say whether a command's last words are that the question was answered with no."""
    return any(word in detail for word in _DECLINED)


def quoted(text: str) -> str:
    """Return `text` as PowerShell reads it between single quotes."""
    return "'" + text.replace("'", "''") + "'"
