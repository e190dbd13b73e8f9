"""The machine as changes see it: its directories, its tools, elevation.

Owns the one value through which every store sees the file system, so that a test can redirect all of it. Refuses to
guess a home directory for real work: `Machine.here` takes it from the user database when HOME is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from devtls.system.machine.elevation import (
    SYSTEM_DIRECTORIES,
    find_elevated_tool,
    find_elevation,
    find_tool,
    refusal_of_jdk,
    refusal_of_tools,
    refusal_to_start,
)
from devtls.system.machine.plan import ALREADY_ROOT, Elevation


@dataclass(frozen=True, slots=True)
class Machine:
    """`root` is "/" outside tests; `search_path` are the directories of PATH, for tools that run as the user.

    `platform` is what `sys.platform` says; `environ` is asked for places only (JAVA_HOME, WSL_DISTRO_NAME, ...).
    `is_root` = this process is an administrator's, so that whatever it starts is as well.
    """

    root: Path
    home: Path
    data_home: Path
    config_home: Path
    search_path: tuple[str, ...] = ()
    elevation: Elevation | None = None
    platform: str = "linux"
    environ: Mapping[str, str] = field(default_factory=dict)
    is_root: bool = False

    @classmethod
    def here(cls, environ: Mapping[str, str] = os.environ) -> Machine:
        """Return this machine as the current user sees it."""
        home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
        elevation: Elevation | None = ALREADY_ROOT
        if sys.platform != "win32":
            elevation = find_elevation(os.geteuid())
        here = cls.redirected(
            Path("/"),
            home,
            environ,
            elevation=elevation,
            search_path=tuple(
                part for part in environ.get("PATH", os.defpath).split(os.pathsep) if Path(part).is_absolute()
            ),
            platform=sys.platform,
        )
        return replace(here, is_root=sys.platform != "win32" and os.geteuid() == 0)

    @classmethod
    def redirected(
        cls,
        root: Path,
        home: Path,
        environ: Mapping[str, str],
        *,
        elevation: Elevation | None = None,
        search_path: tuple[str, ...] = (),
        platform: str = "linux",
    ) -> Machine:
        """Return a machine whose system lies below `root`; relative XDG directories do not count."""
        data, config = environ.get("XDG_DATA_HOME", ""), environ.get("XDG_CONFIG_HOME", "")
        return cls(
            root=root,
            home=home,
            # XDG Base Directory Specification: a relative path is invalid and to be ignored.
            data_home=Path(data) if data.startswith("/") else home / ".local" / "share",
            config_home=Path(config) if config.startswith("/") else home / ".config",
            search_path=search_path,
            elevation=elevation,
            platform=platform,
            environ=dict(environ),
        )

    def system_tool(self, *names: str) -> Path | None:
        """Return a tool that runs as the user: only from the system's own directories."""
        return find_tool(names, SYSTEM_DIRECTORIES, self.root)

    def elevated_tool(self, *names: str) -> Path | None:
        """Return a tool that may be elevated: from the system's own directories, and root's alone."""
        return find_elevated_tool(names, self.root)

    def refusal_of_system_tool(self, *names: str) -> str:
        """Return why a tool that is there must not be elevated, "" when it may be, or when there is none."""
        return refusal_of_tools(names, self.root)

    def system_keytool(self) -> Path | None:
        """Return the keytool of the system's own JDK, if that JDK is root's alone."""
        tool = self.elevated_tool("keytool", "keytool.exe")
        return None if tool is None or refusal_of_jdk(tool, self.root) else tool

    def user_tool(self, *names: str) -> Path | None:
        """Return a tool that runs as the user, from PATH, then from the system's directories; for root only root's.

        PATH may come along with sudo, and whatever root starts is elevated, a question for a version too.
        """
        found, usual = find_tool(names, self.search_path), self.system_tool(*names)
        if not self.is_root:
            return found or usual
        safe = (tool for tool in (found, usual) if tool is not None and not refusal_to_start(tool, self.root))
        return next(safe, None) or self.elevated_tool(*names)

    def named_directory(self, variable: str, default: Path) -> Path:
        """Return the directory that an environment variable names, if it names one in full."""
        value = self.environ.get(variable, "")
        return Path(value) if Path(value).is_absolute() else default

    def tilde(self, path: Path) -> str:
        """Return `path` with the home directory written as ~."""
        return f"~/{path.relative_to(self.home)}" if path.is_relative_to(self.home) else str(path)


def is_read_only(path: Path) -> bool:
    """Say whether `path` is there and on a file system that is mounted read-only (statvfs(3); Windows cannot tell).

    Images of containers, immutable distributions and disks with errors are.
    """
    if sys.platform == "win32":
        return False
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
