"""The how-to guides, run: what they promise happens."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import RequireTool
from tests.e2e.serving import DEVTLS, export_root, running
from tests.locks import free_port

pytestmark = pytest.mark.e2e

GUIDES = Path(__file__).parents[2] / "docs/how-to"
PATIENCE_S = 60.0


async def test_a_name_below_a_domain_of_ones_own_is_served(home: Path, require_tool: RequireTool) -> None:
    """docs/how-to/oauth.md"""
    require_tool("certutil", "apt-get install libnss3-tools")
    curl = require_tool("curl", "apt-get install curl")
    guide = (GUIDES / "oauth.md").read_text()
    command = re.search(r"devtls (trust --zone.*)", guide)
    address = re.search(r"https://(app\.dev\.example\.com)/callback", guide)
    assert command and address
    argv = [*DEVTLS, *command[1].split(), "--yes", "--store", "nss"]
    subprocess.run(argv, capture_output=True, timeout=PATIENCE_S, check=True)
    (home / "site").mkdir()
    (home / "site/callback").write_text("arrived")
    port = free_port()
    serve = [*DEVTLS, "serve", "app=./site", "--https-port", str(port), "--no-redirect"]
    async with running(serve, directory=home, port=port):
        url = address[0].replace(address[1], f"{address[1]}:{port}")
        own = ["--cacert", str(export_root(home)), "--resolve", f"{address[1]}:{port}:127.0.0.1"]
        done = subprocess.run([curl, "-sSf", *own, url], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stdout == "arrived"
