"""Lines that set and unset variables, for each shell.

Owns quoting: the shell reads every value as it is. Refuses values that a shell has no syntax for.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import PurePath

from devtls.errors import Refused

SHELLS = ("sh", "fish", "pwsh", "cmd")
USAGE = {
    "sh": 'eval "$(devtls env)"',
    "fish": "devtls env --shell fish | source",
    "pwsh": "devtls env --shell pwsh | Out-String | Invoke-Expression",
    "cmd": 'devtls env --shell cmd > "%TEMP%\\devtls-env.cmd" && call "%TEMP%\\devtls-env.cmd"',
}
"""Shell -> the command that evaluates the lines in the current shell."""

_LIKE_SH = frozenset({"sh", "bash", "zsh", "dash", "ash", "ksh", "mksh", "busybox"})
_OF_POWERSHELL_ALONE = 3
"""PSModulePath has two directories for the whole machine; PowerShell adds the user's for what it starts."""

# PowerShell takes each of these for a single quote.
_POWERSHELL_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")
_SPECIAL_TO_CMD = frozenset("&|<>^()")


def guess_shell(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """Return the shell that most likely reads the lines; raises Refused for one that is not among ours."""
    # Git for Windows sets SHELL, with backslashes and .exe.
    name = PurePath(environ.get("SHELL", "").replace("\\", "/")).name.removesuffix(".exe")
    if not name and platform == "win32":
        directories = [part for part in environ.get("PSModulePath", "").split(";") if part]
        return "pwsh" if len(directories) >= _OF_POWERSHELL_ALONE else "cmd"
    if not name or name in _LIKE_SH:
        return "sh"
    if name in ("fish", "pwsh"):
        return name
    raise Refused(
        f"Your shell is {name}, whose language devtls does not write.",
        hint="devtls env -- COMMAND runs a command with it, --json gives it to a program, --shell names another shell",
    )


def shell_lines(values: Mapping[str, str | None], shell: str) -> str:
    """Return one line for each variable; None unsets it."""
    return "".join(f"{_line(name, value, shell)}\n" for name, value in values.items())


def _line(name: str, value: str | None, shell: str) -> str:
    match shell:
        case "fish":
            return f"set -e {name}" if value is None else f"set -gx {name} '{_for_fish(value)}'"
        case "pwsh":
            return _powershell_line(name, value)
        case "cmd":
            return f'@set "{name}={_for_cmd(value or "")}"'
        case _:
            return f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"


def _for_fish(value: str) -> str:
    # In fish's single quotes only \\ and \' are escapes.
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _powershell_line(name: str, value: str | None) -> str:
    if value is None:
        return f"Remove-Item Env:{name} -ErrorAction SilentlyContinue"
    quoted = _POWERSHELL_QUOTES.sub(r"\1\1", value)
    return f"$env:{name} = '{quoted}'"


def _for_cmd(value: str) -> str:
    """Return a value for `set "NAME=..."` in a batch file; a quote in it ends cmd's quoting, so the rest needs ^."""
    if "\n" in value or "\r" in value:
        raise Refused("A variable holds a line break, which cmd cannot set.", hint="devtls env -- COMMAND")
    written, quoted = [], True
    # A batch file expands %NAME% inside quotes as well.
    for char in value.replace("%", "%%"):
        # cmd knows no escape for a quote: each one switches its quoting.
        quoted ^= char == '"'
        written.append(f"^{char}" if not quoted and char in _SPECIAL_TO_CMD else char)
    return "".join(written)
