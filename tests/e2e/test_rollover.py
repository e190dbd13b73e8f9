"""One CA after the other while a proxy runs, from the command line."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest

from tests.e2e.clients import Ended, run
from tests.e2e.serving import DEVTLS, Serving, serving

pytestmark = pytest.mark.e2e


async def devtls(*argv: str) -> Ended:
    done = await run([*DEVTLS, *argv])
    assert done.returncode == 0, done.stderr
    return done


async def perform_handshake(proxy: Serving, name: str, root: Path) -> None:
    """Meet the proxy, trusting one root; raises ssl.SSLError."""
    context = ssl.create_default_context(cafile=str(root))
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=context, server_hostname=name)
    writer.close()


async def test_what_runs_has_taken_the_next_ca_over_when_the_command_ends(home: Path) -> None:
    async with serving(home, "app=9") as proxy:
        await perform_handshake(proxy, "app.test", proxy.root)
        said = await devtls("ca", "renew", "--zone", "corp.internal", "--yes")
        assert f"devtls serve (process {proxy.program.process.pid}) has taken it over." in said.stderr
        await devtls("ca", "export", "--out", f"{home}/next.pem")
        for name in ("app.test", "app.corp.internal"):
            await perform_handshake(proxy, name, home / "next.pem")
        with pytest.raises(ssl.SSLCertVerificationError):
            await perform_handshake(proxy, "app.test", proxy.root)
        await devtls("ca", "retire", "--yes")
        renewed = json.loads((await devtls("ca", "renew", "--yes", "--json")).stdout)
        assert renewed["taken_over_by"] == [proxy.program.process.pid]


async def test_a_proxy_that_cannot_follow_is_named_and_goes_on(home: Path) -> None:
    (home / "devtls.toml").write_text("[routes]\napp = 9\n")
    async with serving(home, directory=home) as proxy:
        (home / "devtls.toml").write_text("[routes]\napp = no\n")
        said = await devtls("ca", "renew", "--yes")
        assert f"devtls serve (process {proxy.program.process.pid}) goes on as before: " in said.stderr
        assert "has taken it over" not in said.stderr
        await perform_handshake(proxy, "app.test", proxy.root)
