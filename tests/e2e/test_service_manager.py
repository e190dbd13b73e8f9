"""`devtls serve` as a service manager sees it: a real process, and the datagrams that it sends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")]

_PATIENCE_S = 60.0


def received(channel: socket.socket, name: str) -> dict[str, str]:
    """Return the next message that says `name`: the watch on the file sees a change as well, at a time of its own."""
    while True:
        told = dict(line.split("=", 1) for line in channel.recv(4096).decode().split("\n"))
        if name in told:
            return told


def test_a_manager_hears_of_the_start_a_reload_a_mistake_and_the_end(tmp_path: Path) -> None:
    file, port = tmp_path / "devtls.toml", free_port()
    file.write_text("[routes]\napp = 9\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_PATIENCE_S)
        channel.bind(str(tmp_path / "notify"))
        directories = {f"DEVTLS_{name}_DIR": str(tmp_path / name.lower()) for name in ("STATE", "CONFIG", "RUNTIME")}
        process = subprocess.Popen(
            [sys.executable, "-m", "devtls", "serve", "--https-port", str(port), "--no-redirect", "--config", file],
            cwd=tmp_path,
            env={**os.environ, **directories, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            told = received(channel, "READY")
            assert (told["MAINPID"], told["STATUS"]) == (str(process.pid), f"Serving https on port {port}, 1 route")
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            process.send_signal(signal.SIGHUP)
            assert int(received(channel, "RELOADING")["MONOTONIC_USEC"]) > 0
            assert received(channel, "READY")["STATUS"].endswith("1 route")
            file.write_text("[routes\n")
            process.send_signal(signal.SIGHUP)
            assert "the last reload failed" in received(channel, "READY")["STATUS"]
            process.send_signal(signal.SIGTERM)
            assert int(received(channel, "STOPPING")["EXTEND_TIMEOUT_USEC"]) > 5_000_000
            assert process.wait(_PATIENCE_S) == 0
        finally:
            process.kill()
            process.wait(_PATIENCE_S)
