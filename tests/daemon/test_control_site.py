"""The control socket of a proxy: there before anything answers, gone after, and no obstacle."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from devtls.daemon.control_site import ControlSite
from devtls.system.control_socket import find_control_sockets

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")


async def test_it_comes_and_goes(home: Path) -> None:
    site = ControlSite(home / "run/devtls")
    await asyncio.to_thread(site.open)
    assert [one.path for one in await asyncio.to_thread(find_control_sockets, home / "run/devtls")] == [site.path]
    await site.close()
    assert await asyncio.to_thread(find_control_sockets, home / "run/devtls") == []


def test_a_start_that_fails_leaves_nothing(home: Path) -> None:
    site = ControlSite(home / "run/devtls")
    site.open()
    site.abandon()
    assert list((home / "run/devtls").iterdir()) == []


async def test_a_folder_that_cannot_be_used_stops_nothing(home: Path) -> None:
    (home / "file").touch()
    site = ControlSite(home / "file/run")
    await asyncio.to_thread(site.open)
    assert site.path is None
    assert "no control socket can be made" in str(site.trouble)
    site.start(lambda: pytest.fail("nobody can ask"))
    await asyncio.to_thread(site.clean)
    await site.close()


async def test_windows_has_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    site = ControlSite(home / "run/devtls")
    site.open()
    site.clean()
    assert (site.path, site.trouble) == (None, None)
    await site.close()
    assert not (home / "run/devtls").exists()
