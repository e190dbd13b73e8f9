"""The state, configuration and runtime directories, and the refusal to run under sudo.

Owns the three directories (state: the CA; config: devtls.toml of the user; runtime: sockets). Refuses to run under
sudo, doas or pkexec, where the CA would end up in root's directories, owned by root. Creates nothing.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from devtls.errors import Refused

_APPLICATION = "devtls"
_USER_DIRECTORIES = "/run/user"


class Paths(msgspec.Struct, frozen=True):
    """The directories of one user; none of them need exist yet."""

    state_dir: Path
    config_dir: Path
    runtime_dir: Path

    def private(self) -> tuple[Path, ...]:
        """Return the directories whose files are never served: keys, sockets, and the file that says what is."""
        return tuple(dict.fromkeys((self.state_dir, self.runtime_dir, self.config_dir)))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Return the system's directories, or those of DEVTLS_STATE_DIR, DEVTLS_CONFIG_DIR, DEVTLS_RUNTIME_DIR.

        A runtime directory that is not named goes with a state directory that is: two states never share a socket. It
        is also there where the system has none that is ours alone (containers, su, some ssh sessions), never in /tmp.
        """
        state, config, runtime = (
            _named(environ, variable) for variable in ("DEVTLS_STATE_DIR", "DEVTLS_CONFIG_DIR", "DEVTLS_RUNTIME_DIR")
        )
        if runtime is None and state is None:
            runtime = _system_runtime_directory(environ)
        state = state or _platform_directory("user_data_path")
        return cls(
            state_dir=state,
            config_dir=config or _platform_directory("user_config_path"),
            runtime_dir=runtime or state / "run",
        )


def _named(environ: Mapping[str, str], variable: str) -> Path | None:
    value = environ.get(variable, "")
    return Path(value).expanduser().absolute() if value else None


def _platform_directory(function: str) -> Path:
    # The one late import here: 15 ms, a tenth of a start, and not needed when the environment names the directories.
    import platformdirs

    directory: Path = getattr(platformdirs, function)(_APPLICATION, appauthor=False)
    return directory


def _system_runtime_directory(environ: Mapping[str, str]) -> Path | None:
    """Return ours in the user's runtime directory; platformdirs warns of a missing one on stderr and takes /tmp."""
    if sys.platform in ("win32", "darwin"):
        return _platform_directory("user_runtime_path")
    for directory in (environ.get("XDG_RUNTIME_DIR", ""), f"{_USER_DIRECTORIES}/{os.geteuid()}"):
        if directory.startswith("/") and _is_ours_alone(directory):
            return Path(directory) / _APPLICATION
    return None


def _is_ours_alone(directory: str) -> bool:
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    # XDG Base Directory Specification: the user's own, with mode 0700.
    ours = sys.platform != "win32" and found.st_uid == os.geteuid()
    return ours and stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077


def refuse_sudo(environ: Mapping[str, str], euid: int, command: str) -> None:
    """Raise Refused when `command` runs as root on behalf of a user; real root (containers, CI) may go on."""
    # root's own sudo names root: then the CA ends up where it belongs.
    root = ("", "0", "root")
    for tool, variable in (("sudo", "SUDO_UID"), ("doas", "DOAS_USER"), ("pkexec", "PKEXEC_UID")):
        if euid == 0 and environ.get(variable, "") not in root:
            raise Refused(
                f"devtls {command} runs under {tool}: the CA would be root's, not yours.",
                hint=f"devtls {command}, without {tool}: only the commands that it shows are elevated",
            )


def refuse_sudo_for(command: str) -> None:
    """Raise Refused when this process runs `command` as root on behalf of a user."""
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), command)
