"""Real programs for the end-to-end tests: `devtls serve` as a user starts it, and the apps behind it.

Owns starting, waiting until they answer, and ending them with their children. Strategy: readiness is a port that
accepts; the CA is the one that `serve` made in the test's own state folder, and every check uses its root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.locks import free_port

DEVTLS = (sys.executable, "-m", "devtls")

_READY_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 10.0
_POLL_S = 0.02


class ProgramFailed(AssertionError):
    """A program ended or never answered; the text is what it said."""


@dataclass(frozen=True)
class Program:
    """A running program and what it has said so far (stdout and stderr together)."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass(frozen=True)
class Serving:
    """A running `devtls serve`: its HTTPS port and the root certificate that it lives under."""

    program: Program
    port: int
    root: Path

    def context(self) -> ssl.SSLContext:
        """Return a client context that trusts this root and nothing else."""
        return ssl.create_default_context(cafile=str(self.root))

    def url(self, name: str, path: str = "/") -> str:
        return f"https://{name}:{self.port}{path}"


@asynccontextmanager
async def running(
    argv: Sequence[str],
    *,
    directory: Path,
    port: int,
    env: Mapping[str, str] | None = None,
    ready_s: float = _READY_TIMEOUT_S,
) -> AsyncIterator[Program]:
    """Run a program in a directory until the block ends; entered when `port` accepts on loopback, within `ready_s`."""
    log = directory / f".output-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=directory,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    program = Program(process, log)
    try:
        await _until_accepting(program, port, ready_s)
        yield program
    finally:
        await _end(process)


@asynccontextmanager
async def serving(
    home: Path, *arguments: str, directory: Path | None = None, env: Mapping[str, str] | None = None
) -> AsyncIterator[Serving]:
    """Run `devtls serve ARGUMENTS` on a free port, without the redirect listener."""
    port = free_port()
    argv = [*DEVTLS, "serve", "--https-port", str(port), "--no-redirect", *arguments]
    async with running(argv, directory=directory or home, port=port, env=env) as program:
        yield Serving(program, port, export_root(home, env))


def export_root(home: Path, env: Mapping[str, str] | None = None) -> Path:
    """Write the root of the test's state folder to a file, as a user would, and return its path."""
    path = home / "exported-root.pem"
    done = subprocess.run(
        [*DEVTLS, "ca", "export", "--out", str(path)],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ProgramFailed(f"devtls ca export: {done.stderr}")
    return path


async def _until_accepting(program: Program, port: int, ready_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + ready_s
    while not _accepts(port):
        late = asyncio.get_running_loop().time() > deadline
        if late or program.process.poll() is not None:
            raise ProgramFailed(f"nothing listens on port {port}: {program.output()[-4000:]}")
        await asyncio.sleep(_POLL_S)


def _accepts(port: int) -> bool:
    for address in ("127.0.0.1", "::1"):
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1.0):
            return True
    return False


async def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: npm and Django's reloader have children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = asyncio.get_running_loop().time() + _END_TIMEOUT_S
        while process.poll() is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_S)
        if process.returncode is not None:
            return
