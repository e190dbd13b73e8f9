"""What is put on a proxy: wrk where each head differs, one curl for a big body, fresh connections for single answers.

Owns these clients; h2load has a file of its own. All of them check the certificate except wrk, which cannot.
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

from tests.bench.contenders import LOAD_CORE, NAME

CONNECTIONS = 32
_FETCH_TIMEOUT_S = 10.0
_DOWNLOAD_TIMEOUT_S = 30.0
_PORT_TIMEOUT_S = 10.0

# The name is in no hosts file: wrk resolves the address here and sends the name as SNI and Host.
# A load generator repeats one request to the letter; a browser never does. Here the path and a field differ each time.
_VARY = """wrk.resolve = function(host, service) wrk.addrs = wrk.lookup("127.0.0.1", service) end
local number = 0
request = function()
  number = number + 1
  return wrk.format("GET", "/?" .. number, {["X-Request-Number"] = number})
end
"""


class LoadFailed(Exception):
    """The proxy answered wrongly: the numbers would mean nothing."""


def run_wrk(port: int, seconds: float, folder: Path) -> int:
    """Ask over CONNECTIONS kept connections for `seconds` (whole seconds), each head another; return how often."""
    script = folder / "wrk.lua"
    script.write_text(_VARY)
    target = ["-s", str(script), f"https://{NAME}:{port}/"]
    wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s"]
    done = on_load_core(*wrk, *target, timeout_s=seconds + _FETCH_TIMEOUT_S)
    return parse_wrk(done.stdout + done.stderr)


def parse_wrk(text: str) -> int:
    """Read the number of requests in wrk's report; raises LoadFailed when any of them failed."""
    if failed := re.search(r"Non-2xx.*|Socket errors.*|unable to.*", text):
        raise LoadFailed(failed.group())
    found = re.search(r"(\d+) requests in", text)
    if found is None or not int(found.group(1)):
        raise LoadFailed(f"wrk said: {text.strip()[:300]}")
    return int(found.group(1))


def download(port: int, root: Path, path: str, *, h2: bool) -> int:
    """Fetch `path` with curl in that version of HTTP, checking the certificate; return the bytes that came."""
    version, option = ("2", "--http2") if h2 else ("1.1", "--http1.1")
    trusting = ["--noproxy", "*", "--cacert", str(root), "--resolve", f"{NAME}:{port}:127.0.0.1"]
    into = ["--output", "/dev/null", "--write-out", "%{size_download} %{http_version}"]
    url = f"https://{NAME}:{port}{path}"
    curl = ["curl", "--silent", "--show-error", "--fail", option, "--max-time", f"{_DOWNLOAD_TIMEOUT_S:g}"]
    done = on_load_core(*curl, *trusting, *into, url, timeout_s=2 * _DOWNLOAD_TIMEOUT_S)
    if done.returncode:
        raise LoadFailed(done.stderr.strip())
    size, spoken = done.stdout.split()
    if spoken != version:
        raise LoadFailed(f"curl spoke HTTP/{spoken}, not HTTP/{version}")
    return int(size)


def context_for(root: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(root))


def negotiates_h2(port: int, root: Path) -> bool:
    """Return whether the proxy chooses h2 when it is offered, as browsers do, with http/1.1."""
    context = context_for(root)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port), _FETCH_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as tls,
    ):
        return tls.selected_alpn_protocol() == "h2"


def fetch(port: int, name: str, context: ssl.SSLContext) -> float:
    """Return the seconds from dialling until the whole answer for a name is there, over a fresh connection."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), _FETCH_TIMEOUT_S) as plain:
        # Without it the request waits up to 40 ms for the acknowledgement of our Finished.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = _ask(context.wrap_socket(plain, server_hostname=name), f"{name}:{port}")
    elapsed = time.perf_counter() - began
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise LoadFailed(f"{name}: {answer[:200]!r}")
    return elapsed


def wait_for_answer(port: int, context: ssl.SSLContext, deadline: float) -> None:
    """Try until the proxy answers; `deadline` is a time.perf_counter() value."""
    while True:
        try:
            fetch(port, NAME, context)
        except (OSError, LoadFailed):
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.001)
        else:
            return


def wait_for_port(port: int) -> None:
    """Try until something listens there."""
    deadline = time.perf_counter() + _PORT_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), _FETCH_TIMEOUT_S).close()
        except ConnectionRefusedError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def on_load_core(*argv: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a client to its end; raises LoadFailed when that does not come in time."""
    pinned = ["taskset", "-c", str(LOAD_CORE), *argv]
    try:
        return subprocess.run(pinned, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{argv[0]} did not end within {timeout_s:g} s") from error


def _ask(tls: ssl.SSLSocket, host: str) -> bytes:
    with tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: tls.recv(65536), b""))
