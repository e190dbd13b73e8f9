"""Private sockets of static folders: where they are, who may use them, what is left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from devtls.config import Config, StaticTarget, parse_route_argument
from devtls.daemon.limits import Admission
from devtls.daemon.sites.private_sockets import PrivateSockets
from devtls.daemon.sites.static import StaticSites
from devtls.system.machine.paths import Paths


def config(*directories: Path) -> Config:
    return Config(routes=tuple(parse_route_argument(f"s{n}={directory}") for n, directory in enumerate(directories)))


def make_sites(runtime: Path) -> StaticSites:
    private = PrivateSockets(runtime, Admission(print, print).private_site)
    return StaticSites(private, Paths(runtime.parent / "state", runtime.parent / "config", runtime), print)


async def test_sockets_are_private_and_reused(tmp_path: Path) -> None:
    runtime = Path(tempfile.mkdtemp(prefix="d-")) / "run"  # tmp_path is too long for a socket's path below xdist
    sites = make_sites(runtime)
    one = await asyncio.to_thread(sites.open_sockets, config(tmp_path))
    two = await asyncio.to_thread(sites.open_sockets, config(tmp_path, tmp_path / "other"))
    same = StaticTarget(str(tmp_path))
    assert one[same] == two[same]
    assert {Path(path).stat().st_mode & 0o777 for path in two.values()} == {0o600}
    assert Path(two[same]).parent.stat().st_mode & 0o777 == 0o700
    await sites.start()
    await sites.close()
    assert list(runtime.iterdir()) == []
    shutil.rmtree(runtime.parent)


async def test_a_path_that_is_too_long_moves_to_the_temporary_directory(tmp_path: Path) -> None:
    sites = make_sites(tmp_path / ("x" * 100))
    (path,) = (await asyncio.to_thread(sites.open_sockets, config(tmp_path))).values()
    home = Path(path).parent
    assert home.stat().st_mode & 0o777 == 0o700
    await sites.close()
    assert not home.exists()


async def test_a_runtime_directory_that_cannot_be_made_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sites = make_sites(tmp_path / "file/run")
    (path,) = (await asyncio.to_thread(sites.open_sockets, config(tmp_path))).values()
    assert os.path.exists(path)  # noqa: PTH110
    await asyncio.to_thread(sites.abandon)
    assert not os.path.exists(path)  # noqa: PTH110


@pytest.mark.parametrize("open_one", ["run", "run/devtls"])
async def test_a_runtime_directory_that_others_can_write_is_not_used(tmp_path: Path, open_one: str) -> None:
    """Whoever can move the folder could put sockets of their own in its place."""
    runtime = tmp_path / "run/devtls"
    runtime.mkdir(parents=True, mode=0o700)
    (tmp_path / open_one).chmod(0o777)
    sites = make_sites(runtime)
    (path,) = (await asyncio.to_thread(sites.open_sockets, config(tmp_path))).values()
    assert runtime not in Path(path).parents
    await sites.close()


LISTENS_UNTIL_KILLED = """\
import sys
from pathlib import Path
from devtls.daemon.sites.private_sockets import PrivateSockets
sockets = PrivateSockets(Path(sys.argv[1]), lambda: None)
path, listening = sockets.listen("x", "y")
print(path, flush=True)
sys.stdin.read()
"""


async def test_what_a_killed_process_left_is_removed_and_no_other(home: Path) -> None:
    runtime, started = home / "r", []
    for _ in range(2):
        argv = [sys.executable, "-c", LISTENS_UNTIL_KILLED, str(runtime)]
        started.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    homes = [Path(str(each.stdout and each.stdout.readline()).strip()).parent for each in started]
    assert [each.parent for each in homes] == [runtime, runtime]
    started[0].kill()
    started[0].communicate()
    sites = make_sites(runtime)
    await asyncio.to_thread(sites.open_sockets, config(home))
    assert [each.exists() for each in homes] == [False, True]
    started[1].communicate()
    await sites.close()


async def test_a_number_that_is_used_again_keeps_no_leftover(home: Path) -> None:
    """A killed process's number may be that of any process now; what it left is known by nobody holding its lock."""
    leftover = home / "r" / f"serve-{os.getppid()}-abcdefgh"
    leftover.mkdir(parents=True, mode=0o700)
    (leftover / "1.sock").touch()
    sites = make_sites(home / "r")
    await asyncio.to_thread(sites.open_sockets, config(home))
    assert not leftover.exists()
    await sites.close()


@pytest.fixture(autouse=True)
def short_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(home))
