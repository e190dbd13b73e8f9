"""Private sockets of static folders: where they are, who may use them, what is left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtls.config import Config, parse_route_argument
from devtls.daemon.sites.static import StaticSites


def config(*directories: Path) -> Config:
    return Config(routes=tuple(parse_route_argument(f"s{n}={directory}") for n, directory in enumerate(directories)))


async def test_sockets_are_private_and_reused(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    sites = StaticSites(runtime)
    one = await asyncio.to_thread(sites.open_sockets, config(tmp_path))
    two = await asyncio.to_thread(sites.open_sockets, config(tmp_path, tmp_path / "other"))
    assert one[str(tmp_path)] == two[str(tmp_path)]
    assert {Path(path).stat().st_mode & 0o777 for path in two.values()} == {0o600}
    assert Path(two[str(tmp_path)]).parent.stat().st_mode & 0o777 == 0o700
    await sites.start()
    await sites.close()
    assert list(runtime.iterdir()) == []


async def test_a_path_that_is_too_long_moves_to_the_temporary_directory(tmp_path: Path) -> None:
    sites = StaticSites(tmp_path / ("x" * 100))
    (path,) = (await asyncio.to_thread(sites.open_sockets, config(tmp_path))).values()
    home = Path(path).parent
    assert home.stat().st_mode & 0o777 == 0o700
    await sites.close()
    assert not home.exists()


async def test_a_runtime_directory_that_cannot_be_made_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sites = StaticSites(tmp_path / "file/run")
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
    sites = StaticSites(runtime)
    (path,) = (await asyncio.to_thread(sites.open_sockets, config(tmp_path))).values()
    assert runtime not in Path(path).parents
    await sites.close()


async def test_what_a_crashed_process_left_is_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover, living = tmp_path / f"serve-{dead.pid}", tmp_path / f"serve-{os.getppid()}"
    for directory in (leftover, living):
        directory.mkdir()
        (directory / "1.sock").touch()
    sites = StaticSites(tmp_path)
    await asyncio.to_thread(sites.open_sockets, config(tmp_path))
    assert (leftover.exists(), living.exists()) == (False, True)
    await sites.close()


@pytest.fixture(autouse=True)
def short_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(home))
