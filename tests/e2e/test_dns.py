"""The names of `devtls serve` in its own DNS, as a user asks for them."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.serving import DEVTLS, running
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.may_block]

RequireTool = Callable[[str, str], str]
PATIENCE_S = 15.0


def dig(program: str, port: int, *arguments: str) -> str:
    """Ask until the server is there: it opens a moment after the proxy."""
    deadline = time.monotonic() + PATIENCE_S
    argv = [program, "@127.0.0.1", "-p", str(port), "+time=1", "+tries=1", *arguments]
    while True:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        if done.returncode == 0:
            return done.stdout
        assert time.monotonic() < deadline, done.stdout
        time.sleep(0.05)


async def test_serve_answers_for_its_zones(tmp_path: Path, require_tool: RequireTool) -> None:
    program = require_tool("dig", "sudo apt-get install bind9-dnsutils")
    port, https_port = free_port(), free_port()
    # Not the default ports: a serve of another test may hold them.
    rest = f"[pac]\nport = {free_port()}\n[routes]\napp = 9\n"
    (tmp_path / "devtls.toml").write_text(f"[dns]\nport = {port}\n{rest}")
    argv = [*DEVTLS, "serve", "--https-port", str(https_port), "--no-redirect"]
    async with running(argv, directory=tmp_path, port=https_port) as serve:
        for protocol in ("+notcp", "+tcp"):
            assert dig(program, port, protocol, "+short", "app.dev.local") == "127.0.0.1\n"
            assert dig(program, port, protocol, "+short", "never.heard.of.dev.local", "AAAA") == "::1\n"
        assert "status: NOERROR" in dig(program, port, "app.dev.local", "TYPE65")
        assert "status: REFUSED" in dig(program, port, "example.com")
        # The file is read again, the server goes on at another port.
        moved = free_port()
        (tmp_path / "devtls.toml").write_text(f"[dns]\nport = {moved}\n{rest}")
        assert dig(program, moved, "+short", "app.test") == "127.0.0.1\n"
    assert "DNS server" not in serve.output()
    assert not re.search(r"^! ", serve.output(), re.MULTILINE)


async def test_a_port_that_is_taken_is_a_warning_and_serving_goes_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, https_port = taken.getsockname()[1], free_port()
        (tmp_path / "devtls.toml").write_text(f"[dns]\nport = {port}\n[routes]\napp = 9\n")
        argv = [*DEVTLS, "serve", "-q", "--https-port", str(https_port), "--no-redirect"]
        async with running(argv, directory=tmp_path, port=https_port) as serve:
            deadline = time.monotonic() + PATIENCE_S
            while "DNS" not in serve.output() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert re.search(rf"^! DNS port {port} belongs to \S+ \(process \d+\): devtls answers no", serve.output())
            assert serve.process.poll() is None
