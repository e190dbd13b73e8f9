"""One elevated command on Windows, by the User Account Control prompt.

Owns the line of PowerShell that asks and waits. Refuses to guess where programs lie: they are named in full, below
SystemRoot. PowerShell itself is not elevated, the program that it starts is; its exit code comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath

from devtls.system.machine.plan import ELEVATED_S, Run

# ERROR_CANCELLED: as a number, or in PowerShell's words.
_DECLINED = ("1223", "canceled by the user", "cancelled by the user")


def system_directory(environ: Mapping[str, str]) -> PureWindowsPath:
    """Return Windows' System32."""
    return PureWindowsPath(environ.get("SystemRoot", r"C:\Windows")) / "System32"


def powershell(environ: Mapping[str, str]) -> PureWindowsPath:
    """Return the PowerShell that comes with Windows."""
    return system_directory(environ) / "WindowsPowerShell" / "v1.0" / "powershell.exe"


def run_script(environ: Mapping[str, str], script: str, timeout_s: float = ELEVATED_S) -> Run:
    """Return the command that runs a line of PowerShell as the user."""
    argv = (str(powershell(environ)), "-NoProfile", "-NonInteractive", "-Command", script)
    return Run(argv, timeout_s=timeout_s)


def run_as_administrator(environ: Mapping[str, str], program: PureWindowsPath, arguments: Sequence[str]) -> Run:
    """Return the command that starts `program` elevated and waits for it."""
    # Start-Process joins the arguments with blanks and quotes none of them.
    words = ",".join(quoted(f'"{word}"' if " " in word else word) for word in arguments)
    return run_script(
        environ,
        f"exit (Start-Process -FilePath {quoted(str(program))} -ArgumentList {words} "
        "-Verb RunAs -Wait -PassThru -WindowStyle Hidden).ExitCode",
    )


def was_refused(detail: str) -> bool:
    """Say whether a command's last words are that the question was answered with no."""
    return any(word in detail for word in _DECLINED)


def quoted(text: str) -> str:
    """Return `text` as PowerShell reads it between single quotes."""
    return "'" + text.replace("'", "''") + "'"
