"""The tutorial's transcript, run: what it shows is what the commands print."""

from __future__ import annotations

import asyncio
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import RequireTool
from tests.e2e.serving import DEVTLS, export_root, running
from tests.locks import free_port

pytestmark = pytest.mark.e2e

PAGE = (Path(__file__).parents[2] / "docs/tutorial/index.md").read_text()
PATIENCE_S = 60.0
POLL_S = 0.05
NOT_HERE = "System store"
"""The test leaves the machine's own store alone."""


def transcript() -> dict[str, list[str]]:
    """Return command -> the lines that the tutorial shows below it."""
    shown = PAGE.partition("<!-- transcript -->")[2].partition("<!-- /transcript -->")[0]
    found: dict[str, list[str]] = {}
    command = ""
    for block in re.findall(r"```console\n(.*?)```", shown, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                command = line[2:]
                found[command] = []
            elif not line.startswith(("…", NOT_HERE)):
                found[command].append(line)
    return found


def folded(text: str) -> list[str]:
    """Return the lines of an output without what differs between machines and days: numbers, dates, spaces."""
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture
def app_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_S}, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


async def test_the_transcript_is_what_the_commands_print(home: Path, app_port: int, require_tool: RequireTool) -> None:
    require_tool("certutil", "apt-get install libnss3-tools")
    require_tool("curl", "apt-get install curl")
    shown = transcript()
    assert list(shown) == ["devtls trust --yes", "devtls serve app=3000"]
    argv = [*DEVTLS, "trust", "--yes", "--store", "nss"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    said = folded(done.stderr + done.stdout)
    assert [line for line in folded("\n".join(shown["devtls trust --yes"])) if line not in said] == []

    port = free_port()
    serve = [*DEVTLS, "serve", f"app={app_port}", "--https-port", str(port), "--no-redirect"]
    async with running(serve, directory=home, port=port) as program:
        subprocess.run(curl(home, port), capture_output=True, timeout=PATIENCE_S, check=True)
        expected = "\n".join(shown["devtls serve app=3000"]).replace("8443", str(port)).replace("3000", str(app_port))
        said = await until_printed(program.log, folded(expected))
        assert [line for line in folded(expected) if line not in said] == []


def curl(home: Path, port: int) -> list[str]:
    name = "app.localhost"
    line = f"curl https://{name}:{port}/"
    assert line.replace(str(port), "8443") in PAGE
    # The test's CA is in no store that curl reads, and not every machine resolves *.localhost.
    own = ["--cacert", str(export_root(home)), "--resolve", f"{name}:{port}:127.0.0.1"]
    return [*line.split(), "--silent", "--show-error", "--fail", *own]


async def until_printed(log: Path, expected: list[str]) -> list[str]:
    for _ in range(int(PATIENCE_S / 6 / POLL_S)):
        said = folded(log.read_text(errors="replace"))
        if all(line in said for line in expected):
            return said
        await asyncio.sleep(POLL_S)
    return said
