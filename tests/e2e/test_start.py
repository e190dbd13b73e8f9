"""What a start may load before the first answer: each of these costs milliseconds that nobody gets anything for.

The times are the bench's business ("Command to first answer"). This holds what decides them: the list of modules that
`python -X importtime` tells of, up to the moment when the watch on the file begins (a quarter of a second after the
ports are open).
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.names import DEFAULT_ZONES
from devtls.system.storage.keystore import Keystore
from tests.locks import free_port

pytestmark = pytest.mark.e2e

NEVER = {
    "aiohttp", "click", "cryptography.hazmat.primitives.serialization", "cryptography.x509", "dataclasses",
    "devtls.daemon.activation", "devtls.daemon.console.banner", "devtls.daemon.sites.auxiliary_listener",
    "devtls.dns.responder", "devtls.http.answers.html", "devtls.http.pac", "devtls.net.dns",
    "devtls.net.pac", "devtls.pki.authority", "devtls.system.machine.activation",
    "devtls.system.machine.launchd", "difflib", "dns", "email", "getpass", "hashlib", "html", "http.server", "idna",
    "importlib.metadata", "json", "platformdirs", "publicsuffixlist", "rich", "secrets", "shutil", "tempfile",
}  # fmt: skip
LATER = ("devtls.http.h2", "watchdog")
"""Where the imports begin that a running proxy does beside its first requests: HTTP/2 a moment after the start."""
_TIMEOUT_S = 20.0


def first_answer(port: int, root_pem: bytes, app: socket.socket) -> bytes:
    context = ssl.create_default_context(cadata=root_pem.decode())
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            raw = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
            break
        except OSError:
            assert time.monotonic() < deadline, "nothing listens"
            time.sleep(0.005)
    with context.wrap_socket(raw, server_hostname="app.dev.local") as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\nConnection: close\r\n\r\n")
        connection, _ = app.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return client.recv(65536)


def modules_of_a_start(directory: Path, *arguments: str) -> list[str]:
    """Return the modules in the order in which a start loaded them, until the file is watched or a while has passed."""
    state, port = directory / "state", free_port()
    authority = Keystore(state).create(DEFAULT_ZONES, datetime.now(UTC))
    output = directory / "importtime"
    directories = {f"DEVTLS_{name}_DIR": str(directory / name.lower()) for name in ("STATE", "CONFIG", "RUNTIME")}
    with socket.create_server(("127.0.0.1", 0)) as app, output.open("wb") as stderr:
        app.settimeout(_TIMEOUT_S)
        target = f"app={app.getsockname()[1]}"
        argv = [sys.executable, "-X", "importtime", "-m", "devtls", "serve", "-q", "--no-redirect"]
        process = subprocess.Popen(
            [*argv, "--https-port", str(port), target, *arguments],
            cwd=directory,
            env={**os.environ, **directories, "HOME": str(directory)},
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            assert first_answer(port, authority.root_pem, app).startswith(b"HTTP/1.1 200 ")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_TIMEOUT_S)
    found = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", output.read_text(), re.MULTILINE)
    return found[: min((found.index(name) for name in LATER if name in found), default=len(found))]


def test_without_a_file_nothing_is_loaded_that_the_first_answer_does_not_need(tmp_path: Path) -> None:
    loaded = modules_of_a_start(tmp_path)
    assert "devtls.net.client.h1" in loaded
    assert not NEVER.intersection(loaded)


def test_with_a_file_it_takes_no_more(tmp_path: Path) -> None:
    (tmp_path / "devtls.toml").write_text("[routes]\nother = 9\n")
    loaded = modules_of_a_start(tmp_path)
    assert "devtls.net.client.h1" in loaded
    assert not NEVER.intersection(loaded)
    assert len(loaded) < 400


@pytest.mark.parametrize("command", ["cert", "certs", "revoke", "sign", "unrevoke"])
def test_commands_about_certificates_load_nothing_of_trust_stores(command: str) -> None:
    names = "print(*(name for name in sys.modules if 'truststore' in name))"
    code = f"import sys, devtls.cli.certificates.{command}; {names}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
