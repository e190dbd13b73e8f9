"""A machine whose ports nobody has: this one, in a network namespace with a loopback interface and nothing else.

Owns the namespace for the length of a `with`, and the user without rights who runs devtls there. /etc is a copy, in
which /etc/sysctl.d and systemd's folder of units are empty, no systemd is seen, and the sysctls of the network are the
namespace's own: what a measure of devtls changes is gone at the end. Refuses to go on without the rights it needs: the
test is skipped, with the kernel's words.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.names import DEFAULT_ZONES
from devtls.system.storage.keystore import Keystore
from tests.e2e.clients import Ended, RequireTool, run
from tests.e2e.serving import DEVTLS
from tests.e2e.waiting import until
from tests.locks import SYSTEM_STORE, locked

SITE = "it is the site"

_PACKAGES = {"unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux", "ip": "iproute2"}
_HOLD = """\
set -e
ip link set lo up
ip address add 192.0.2.1/32 dev lo
mount -t tmpfs none "$COPY"
cp -a /etc "$COPY/etc"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "$(hostname)" > "$COPY/etc/hosts"
mount --bind "$COPY/etc" /etc
for folder in /etc/sysctl.d /etc/systemd/system; do mkdir -p "$folder"; mount -t tmpfs -o mode=755 none "$folder"; done
if [ -d /run/systemd/system ]; then mount -t tmpfs none /run/systemd; fi
echo ready
exec cat
"""
_NO_RIGHTS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
_PATIENCE_S = 30.0


@dataclass
class Started:
    """A program inside, and what it has said."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    async def wait_for(self, text: str, count: int = 1) -> None:
        """Return once it has said `text`, `count` times."""

        def has_come() -> bool:
            found = self.output().count(text) >= count
            assert found or self.process.poll() is None, f"{text!r} did not come before the end: {self.output()}"
            return found

        await until(has_come, lambda: f"{text!r} did not come: {self.output()}", timeout_s=_PATIENCE_S)

    async def end(self) -> int:
        """Ask it to end and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Return the exit code of a program that ends by itself."""
        return await asyncio.to_thread(self.process.wait, _PATIENCE_S)


class Network:
    """A running namespace with a home folder, a CA and a site for its user."""

    def __init__(self, pid: int, home: Path) -> None:
        self._pid, self._home = pid, home
        self.user, self._as_user = _find_user()
        (home / "site").mkdir()
        (home / "site/index.html").write_text(SITE)
        authority = Keystore(Path(os.environ["DEVTLS_STATE_DIR"])).create(DEFAULT_ZONES, datetime.now(UTC))
        self._root = home / "root.pem"
        self._root.write_bytes(authority.root_pem)
        for path in (home, *home.rglob("*")):
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def inside(self, argv: Sequence[str], *, as_user: bool = False) -> tuple[str, ...]:
        """Return the command that runs `argv` here, as root or as the user."""
        enter = ("nsenter", f"--target={self._pid}", "--net", "--mount", f"--wd={self._home}", "--")
        return (*enter, *(self.as_user(argv) if as_user else argv))

    def as_user(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Return the command that gives up root's rights and becomes `argv` in the same process."""
        return (*self._as_user, *argv)

    async def run(self, *argv: str, as_user: bool = False) -> Ended:
        return await run(self.inside(argv, as_user=as_user))

    async def python(self, script: str, *arguments: str) -> str:
        """Run a script as root; it must succeed. Returns what it printed."""
        done = await self.run(sys.executable, "-c", script, *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    async def devtls(self, *arguments: str) -> Ended:
        """Run a command of devtls as the user; it must succeed."""
        done = await self.run(*DEVTLS, *arguments, as_user=True)
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    async def curl(self, url: str, *addresses: str) -> list[Ended]:
        """Fetch `url` with the CA from each address."""
        host, port = url.split("/")[2], "80" if url.startswith("http:") else "443"
        name, _, other = host.partition(":")
        start = ("curl", "--silent", "--show-error", "--include", "--max-time", "20", "--cacert", str(self._root))
        return [await self.run(*start, "--resolve", f"{name}:{other or port}:{address}", url) for address in addresses]

    @asynccontextmanager
    async def started(self, argv: Sequence[str], *, as_user: bool = True) -> AsyncIterator[Started]:
        """Run a program until the block ends."""
        log = self._home / f".output-{len(list(self._home.glob('.output-*')))}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.inside(argv, as_user=as_user), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            yield Started(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            await asyncio.to_thread(process.wait)


@contextmanager
def network(home: Path, require_tool: RequireTool) -> Iterator[Network]:
    """Make the namespace; a test that cannot have one is skipped."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a network of its own")
    for tool, package in _PACKAGES.items():
        require_tool(tool, f"sudo apt-get install {package}")
    argv = ("unshare", "--net", "--mount", "sh", "-c", _HOLD)
    (home / "copy").mkdir()
    with locked(SYSTEM_STORE, shared=True):
        holder = subprocess.Popen(
            argv,
            env={**os.environ, "COPY": str(home / "copy")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert holder.stdin and holder.stdout and holder.stderr
        is_ready = holder.stdout.readline() == b"ready\n"
    try:
        if not is_ready:
            pytest.skip(f"no network namespace here: {holder.stderr.read().decode(errors='replace').strip()}")
        yield Network(holder.pid, home)
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
        holder.stderr.close()


def _find_user() -> tuple[pwd.struct_passwd, tuple[str, ...]]:
    """Return nobody, or, where nobody can read this Python (it may be in root's home), a root without any right."""
    nobody = pwd.getpwnam("nobody")
    become = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *_NO_RIGHTS[1:])
    tried = subprocess.run((*become, *DEVTLS, "--version"), capture_output=True, check=False)
    return (nobody, become) if tried.returncode == 0 else (pwd.getpwuid(0), _NO_RIGHTS)
