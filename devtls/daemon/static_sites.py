"""The private sockets that static folders are served on: made before their routes go live, gone after.

Owns one folder of mode 0700 per process in the runtime folder, and one 0600 socket per static folder in it. Removes
what a crashed process of ours left there. A path that no Unix socket can have (107 bytes) moves the folder to the
system's temporary one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from devtls.config import Config, StaticTarget
from devtls.errors import ConfigError
from devtls.web.lazy_site import LazySite

if TYPE_CHECKING:
    from aiohttp import web

_LONGEST_PATH = 100
_BACKLOG = 128


class StaticSites:
    """Static folder -> site. `open_sockets` may block; the rest runs on the loop."""

    def __init__(self, runtime_dir: Path) -> None:
        self._runtime_dir = runtime_dir
        self._home: Path | None = None
        self._sockets: dict[str, tuple[str, socket.socket]] = {}
        self._sites: dict[str, LazySite] = {}
        self._count = 0

    def open_sockets(self, config: Config) -> Mapping[str, str]:
        """Return folder -> socket path for every static folder of `config`; each listens from now on."""
        wanted = [route.target.folder for route in config.routes if isinstance(route.target, StaticTarget)]
        for folder in wanted:
            if folder not in self._sockets:
                self._sockets[folder] = self._listen()
        return {folder: self._sockets[folder][0] for folder in wanted}

    def start(self) -> None:
        """Serve what listens and is not served yet: aiohttp is loaded in a thread meanwhile."""
        for folder, (_, listening) in self._sockets.items():
            if folder not in self._sites:
                site = self._sites[folder] = LazySite(listening, partial(_make_app, folder))
                site.load()

    async def retire(self, keep: Collection[str]) -> None:
        """Stop serving the folders that are not in `keep`."""
        for folder in [folder for folder in self._sockets if folder not in keep]:
            path, listening = self._sockets.pop(folder)
            site = self._sites.pop(folder, None)
            if site is None:
                listening.close()
            else:
                await site.close()
            await asyncio.to_thread(Path(path).unlink, missing_ok=True)

    def abandon(self) -> None:
        """Close sockets that nothing serves yet: the start failed."""
        for _, listening in self._sockets.values():
            listening.close()
        self._sockets.clear()
        self._remove_home()

    async def close(self) -> None:
        """Stop everything and leave nothing behind."""
        await self.retire(())
        await asyncio.to_thread(self._remove_home)

    def _remove_home(self) -> None:
        if self._home is not None:
            import shutil  # with tempfile 2 ms that a start without static folders need not pay

            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def _listen(self) -> tuple[str, socket.socket]:
        if sys.platform == "win32":
            raise ConfigError("static folders are not served on Windows yet.", hint="Name the port of a web server.")
        if self._home is None:
            self._home = _make_home(self._runtime_dir)
        self._count += 1
        path = str(self._home / f"{self._count}.sock")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.bind(path)
            Path(path).chmod(0o600)  # nobody else gets into the folder before that
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
        return path, listening


def _make_app(folder: str) -> web.Application:
    from devtls.web.static import make_static_app

    return make_static_app(Path(folder))


def _make_home(runtime_dir: Path) -> Path:
    import shutil
    import tempfile

    home = runtime_dir / f"serve-{os.getpid()}"
    if len(os.fsencode(home)) > _LONGEST_PATH - len("/9999.sock"):
        return Path(tempfile.mkdtemp(prefix="devtls-"))
    try:
        runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _only_ours(runtime_dir):
            return Path(tempfile.mkdtemp(prefix="devtls-"))
        _remove_leftovers(runtime_dir)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(mode=0o700)
    except OSError:  # no /run/user/1000 in a container or over `su`
        return Path(tempfile.mkdtemp(prefix="devtls-"))
    return home


def _only_ours(runtime_dir: Path) -> bool:
    """Whether nobody else can move the folder: without /run/user it is below /tmp, where anybody may come first."""
    found = [folder.lstat() for folder in (runtime_dir, runtime_dir.parent)]
    return all(one.st_uid == os.geteuid() and not one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in found)


def _remove_leftovers(runtime_dir: Path) -> None:
    import shutil

    for folder in runtime_dir.glob("serve-*"):
        pid = folder.name.removeprefix("serve-")
        if pid.isdecimal() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
