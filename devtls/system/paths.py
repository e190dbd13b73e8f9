"""Where devtls keeps things, and who may run it.

Owns the three folders (state: the CA; config: devtls.toml of the user; runtime: sockets). Refuses to run under sudo,
where the CA would end up in root's folders, owned by root. Creates nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import msgspec

from devtls.errors import Refused

_APPLICATION = "devtls"


class Paths(msgspec.Struct, frozen=True):
    """The folders of one user; none of them need exist yet."""

    state_dir: Path
    config_dir: Path
    runtime_dir: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Return the operating system's folders, or those of DEVTLS_STATE_DIR, DEVTLS_CONFIG_DIR, DEVTLS_RUNTIME_DIR.

        A runtime folder that is not named goes with a state folder that is: two states never share a socket.
        """
        state, config, runtime = (
            _named(environ, variable) for variable in ("DEVTLS_STATE_DIR", "DEVTLS_CONFIG_DIR", "DEVTLS_RUNTIME_DIR")
        )
        if runtime is None and state is not None:
            runtime = state / "run"
        return cls(
            state_dir=state or _platform_folder("user_data_path"),
            config_dir=config or _platform_folder("user_config_path"),
            runtime_dir=runtime or _platform_folder("user_runtime_path"),
        )


def _named(environ: Mapping[str, str], variable: str) -> Path | None:
    value = environ.get(variable, "")
    return Path(value).expanduser().absolute() if value else None


def _platform_folder(function: str) -> Path:
    import platformdirs  # 19 ms to import, and not needed when the environment names the folders

    with warnings.catch_warnings():
        # It warns of an XDG_RUNTIME_DIR with a wrong mode and takes another: whoever makes sockets there looks itself.
        warnings.simplefilter("ignore", UserWarning)
        folder: Path = getattr(platformdirs, function)(_APPLICATION, appauthor=False)
    return folder


def refuse_sudo(environ: Mapping[str, str], euid: int, command: str) -> None:
    """Raise Refused when `command` runs as root on behalf of a user; real root (containers, CI) may go on."""
    if euid == 0 and environ.get("SUDO_UID", "0") != "0":
        raise Refused(
            f"devtls {command} runs under sudo: the CA would be root's, not yours.",
            hint=f"devtls {command}, without sudo: only the commands that it shows are elevated",
        )
