"""The control socket of a proxy: there before anything answers, gone after, and no obstacle."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from devtls.daemon.limits import Admission
from devtls.daemon.sites.control import ControlSite
from devtls.system.control import channel as control_channel
from devtls.system.control.channel import find_channels

TERMS = Admission(print, print).auxiliary_site()

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")


@pytest.fixture(params=["socket", "port"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Try both ways; which one a system has is not asked here."""
    monkeypatch.setattr(control_channel, "uses_ports", lambda: request.param == "port")
    return str(request.param)


async def test_it_comes_and_goes(home: Path) -> None:
    site = ControlSite(home / "run/devtls", TERMS)
    await asyncio.to_thread(site.open)
    assert await asyncio.to_thread(find_channels, home / "run/devtls") == [site.place]
    await site.close()
    assert await asyncio.to_thread(find_channels, home / "run/devtls") == []


def test_a_start_that_fails_leaves_nothing(home: Path) -> None:
    site = ControlSite(home / "run/devtls", TERMS)
    site.open()
    site.abandon()
    assert list((home / "run/devtls").iterdir()) == []


async def test_a_directory_that_cannot_be_used_stops_nothing(home: Path) -> None:
    (home / "file").touch()
    site = ControlSite(home / "file/run", TERMS)
    await asyncio.to_thread(site.open)
    assert site.place is None
    assert "control" in str(site.error)
    site.start("devtls.nothing:make_app")
    await asyncio.to_thread(site.clean)
    await site.close()
