"""What is put on a proxy: wrk for many requests, one curl for a big body, fresh connections for single answers.

Owns the clients. All of them check the certificate except wrk, which cannot.
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import LOAD_CORE, NAME

CONNECTIONS = 32
_FETCH_TIMEOUT_S = 10.0

# The name is in no hosts file: wrk resolves the address here and sends the name as SNI and Host.
_RESOLVE = 'wrk.resolve = function(host, service) wrk.addrs = wrk.lookup("127.0.0.1", service) end\n'
# wrk repeats one request to the letter; a browser never does. Here the path and a field differ each time.
_VARY = """local number = 0
request = function()
  number = number + 1
  return wrk.format("GET", "/?" .. number, {["X-Request-Number"] = number})
end
"""


class LoadFailed(Exception):
    """The proxy answered wrongly: the numbers would mean nothing."""


@dataclass(frozen=True)
class Load:
    """What one run of wrk did."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float


def run_wrk(port: int, seconds: float, folder: Path, *, varied: bool = False) -> Load:
    """Ask for `/` over CONNECTIONS kept connections for `seconds` (whole seconds), each head another if `varied`."""
    script = folder / "wrk.lua"
    script.write_text(_RESOLVE + (_VARY if varied else ""))
    target = ["-s", str(script), f"https://{NAME}:{port}/"]
    done = _on_load_core("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--latency", *target)
    return parse_wrk(done.stdout + done.stderr)


def parse_wrk(text: str) -> Load:
    """Read wrk's report; raises LoadFailed when any request failed."""
    if failed := re.search(r"Non-2xx.*|Socket errors.*|unable to.*", text):
        raise LoadFailed(failed.group())
    return Load(
        requests=int(_number(r"(\d+) requests in", text)),
        rate=_number(r"Requests/sec:\s+([\d.]+)", text),
        p50_ms=_milliseconds(r"^ +50% +([\d.]+)(us|ms|s|m)$", text),
        p99_ms=_milliseconds(r"^ +99% +([\d.]+)(us|ms|s|m)$", text),
    )


def download(port: int, root: Path, path: str) -> int:
    """Fetch `path` with curl, checking the certificate; return the bytes that came."""
    trusting = ["--noproxy", "*", "--cacert", str(root), "--resolve", f"{NAME}:{port}:127.0.0.1"]
    into = ["--output", "/dev/null", "--write-out", "%{size_download}"]
    url = f"https://{NAME}:{port}{path}"
    done = _on_load_core("curl", "--silent", "--show-error", "--fail", "--http1.1", *trusting, *into, url)
    if done.returncode:
        raise LoadFailed(done.stderr.strip())
    return int(done.stdout)


def context_for(root: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(root))


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


def _ask(tls: ssl.SSLSocket, host: str) -> bytes:
    with tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: tls.recv(65536), b""))


def _on_load_core(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["taskset", "-c", str(LOAD_CORE), *argv], capture_output=True, text=True, check=False)


def _number(pattern: str, text: str) -> float:
    return float(_found(pattern, text).group(1))


def _milliseconds(pattern: str, text: str) -> float:
    found = _found(pattern, text)
    return float(found.group(1)) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[found.group(2)]


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise LoadFailed(f"wrk said: {text.strip()[:300]}")
    return found
