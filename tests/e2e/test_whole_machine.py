"""`devtls trust --yes` with everything: the real system store and the browser's, and all of it taken back.

It runs in a mount namespace of its own where the system's certificate folders are copies: nothing outside changes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devtls.demo import start as start_demo
from tests.e2e.chromium import Chromium
from tests.e2e.clients import Ended, RequireTool, fetch_command, named_setting, require_clients, run
from tests.e2e.serving import DEVTLS, free_port, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's mount namespaces"),
]

NAME = "app.dev.local"
COPIED = ("/etc/ssl", "/usr/local/share/ca-certificates")
ANCHORS = Path(COPIED[1])
KEYSTORE = Path("/etc/ssl/certs/java/cacerts")
JAVA_ALIASES = f"keytool -list -keystore {KEYSTORE} -storepass changeit | grep trustedCertEntry | cut -d, -f1 | sort"
COPY = """\
set -e
copies=$(mktemp -d "$HOME/copies-XXXX")
mount -t tmpfs none "$copies"
for folder in "$@"; do
  cp -a "$folder" "$copies/$(basename "$folder")"
  mount --bind "$copies/$(basename "$folder")" "$folder"
done
echo ready
exec cat
"""


class Namespace:
    """A running namespace; `inside` makes a command one that runs there."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def inside(self, argv: Sequence[str]) -> tuple[str, ...]:
        return ("nsenter", f"--target={self._pid}", "--mount", f"--wd={Path.cwd()}", "--", *argv)

    async def devtls(self, *arguments: str) -> Ended:
        done = await run(self.inside((*DEVTLS, *arguments)))
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    async def anchors(self) -> str:
        """Return the anchors, the bundle's hash and the aliases of Java's keystore, whose dates may change."""
        listed = f"ls {ANCHORS}; sha256sum /etc/ssl/certs/ca-certificates.crt; {JAVA_ALIASES}"
        return (await run(self.inside(("sh", "-c", listed)))).stdout


@contextmanager
def namespace() -> Iterator[Namespace]:
    argv = ("unshare", "--mount", "sh", "-c", COPY, "sh", *COPIED)
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert holder.stdin and holder.stdout and holder.stderr
    try:
        if holder.stdout.readline() != b"ready\n":
            pytest.skip(f"no mount namespace here: {holder.stderr.read().decode(errors='replace').strip()}")
        yield Namespace(holder.pid)
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
        holder.stderr.close()


@pytest.fixture
def machine(require_tool: RequireTool) -> Iterator[Namespace]:
    if os.geteuid() != 0 or not ANCHORS.is_dir() or shutil.which("update-ca-certificates") is None:
        pytest.skip("needs root on a Debian, to give the machine a copy of its certificate folders")
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    require_tool("keytool", "sudo apt-get install default-jre-headless")
    require_clients(require_tool)
    with namespace() as machine:
        yield machine


async def test_one_command_makes_the_whole_machine_trust_and_one_takes_it_back(
    machine: Namespace, home: Path, require_tool: RequireTool
) -> None:
    chromium = require_tool("chromium", "sudo apt-get install chromium")
    outside = sorted(ANCHORS.iterdir())
    before = await machine.anchors()
    assert "debian:" in before
    trusted: dict[str, Any] = json.loads((await machine.devtls("trust", "--yes", "--json")).stdout)
    assert {store["name"].partition(":")[0]: store["state"] for store in trusted["stores"]} == {
        "system": "trusted",
        "nss": "trusted",
        "java": "trusted",
    }
    table = {row["client"]: row for row in trusted["clients"]}
    assert (table["curl"]["verdict"], table["openssl"]["verdict"]) == ("trusted", "trusted")
    runner, app = await start_demo()
    port = free_port()
    argv = machine.inside((*DEVTLS, "serve", f"app={app}", "--https-port", str(port), "--no-redirect"))
    async with running(argv, folder=home, port=port):
        for client in ("curl", "python", "node"):
            row = table[client]
            command = machine.inside(fetch_command(client, row["tool"], NAME, port))
            done = await run(command, named_setting(row))
            assert done.stdout.rstrip().endswith("ready"), (client, done.stderr)
        assert await error_in(chromium, home, port) == ""
        await machine.devtls("untrust", "--yes")
        assert await machine.anchors() == before
        refused = await run(machine.inside(fetch_command("curl", table["curl"]["tool"], NAME, port)))
        assert (refused.returncode, refused.stdout) == (60, "")
        assert await error_in(chromium, home, port) == "net::ERR_CERT_AUTHORITY_INVALID"
    await runner.cleanup()
    assert sorted(ANCHORS.iterdir()) == outside


async def error_in(chromium: str, home: Path, port: int) -> str:
    async with Chromium(home, resolver={NAME: "127.0.0.1"}, executable=chromium, flags=()) as browser:
        return (await browser.open(f"https://{NAME}:{port}/")).error
