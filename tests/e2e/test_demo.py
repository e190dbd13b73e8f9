"""`devtls demo` as a user runs it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

DEMO = [sys.executable, "-m", "devtls", "demo", "--https-port", "0"]
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def temporary_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = home / "tmp"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


def test_the_check_fetches_everything_and_leaves_nothing(temporary_directory: Path, home: Path) -> None:
    done = subprocess.run([*DEMO, "--check"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in lines} == {"page", "WebSocket", "events"}
    assert all(line.endswith("  ok") for line in lines)
    assert list(temporary_directory.iterdir()) == []
    assert not (home / "state").exists()


def test_the_curl_line_works_as_printed(temporary_directory: Path, require_tool: Callable[[str, str], str]) -> None:
    require_tool("curl", "apt-get install curl")
    demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert demo.stdout is not None
    command = next(line for line in demo.stdout if line.strip().startswith("curl"))
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert '"X-Forwarded-Proto", "https"' in done.stdout
    demo.send_signal(signal.SIGINT)
    assert demo.wait(PATIENCE_S) == 0
    demo.stdout.close()
    assert list(temporary_directory.iterdir()) == []


def test_a_port_that_is_taken_is_an_error() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        argv = [*DEMO[:-1], str(taken.getsockname()[1])]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 5
    assert f"process {os.getpid()}" in done.stderr
