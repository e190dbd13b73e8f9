"""A machine for one test: this one, in a mount namespace where /etc and the system's anchors are copies.

With a network of its own, loopback and nothing else, its ports are all free and its resolver is the test's. Owns the
namespace for the length of a `with`. What devtls changes there, as root and by the system's own tools, is
gone at its end; nothing outside changes. Its hosts file knows this machine and nothing else: names of a test are put
there, so programs find them as a user's do.
Refuses to go on without the rights it needs: the test is skipped, with the kernel's words.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.e2e.clients import Ended, run
from tests.e2e.serving import DEVTLS
from tests.locks import SYSTEM_STORE, locked

ANCHORS = Path("/usr/local/share/ca-certificates")
COPIED = ("/etc", str(ANCHORS))

_KEYSTORE = Path("/etc/ssl/certs/java/cacerts")
_ALIASES = f"keytool -list -keystore {_KEYSTORE} -storepass changeit | grep trustedCertEntry | cut -d, -f1 | sort"
_COPY = """\
set -e
copies=$(mktemp -d "$HOME/copies-XXXX")
mount -t tmpfs none "$copies"
for folder in "$@"; do
  cp -a "$folder" "$copies/$(basename "$folder")"
  mount --bind "$copies/$(basename "$folder")" "$folder"
done
printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "$(hostname)" > /etc/hosts
echo ready
exec cat
"""
_LOOPBACK = "set -e\nip link set lo up\n"


class Namespace:
    """A running namespace; `inside` makes a command one that runs there."""

    def __init__(self, pid: int, kinds: Sequence[str] = ("--mount",)) -> None:
        self._pid = pid
        self._kinds = kinds

    def inside(self, argv: Sequence[str]) -> tuple[str, ...]:
        return ("nsenter", f"--target={self._pid}", *self._kinds, f"--wd={Path.cwd()}", "--", *argv)

    @asynccontextmanager
    async def runs(self, argv: Sequence[str], log: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
        """Run a program inside until the block ends."""
        with log.open("wb") as output:
            process = subprocess.Popen(self.inside(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 10)

    def program(self, tool: str, directory: Path) -> str:
        """Write a program to `folder` that is `tool` inside, for a driver that starts one by its path."""
        path = directory / f"inside-{Path(tool).name}"
        path.write_text(f'#!/bin/sh\nexec {shlex.join(self.inside((tool,)))} "$@"\n')
        path.chmod(0o755)
        return str(path)

    async def shell(self, script: str, *words: str) -> str:
        """Run a line of shell inside; it must succeed."""
        done = await run(self.inside(("sh", "-ec", script, "sh", *words)))
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    async def devtls(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run a command of devtls inside; it must succeed."""
        done = await run(self.inside((*DEVTLS, *arguments)), env)
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    async def know(self, *names: str) -> None:
        """Put names into /etc/hosts."""
        await self.shell('printf "127.0.0.1 %s\\n" "$@" >> /etc/hosts', *names)

    async def hide(self, tool: str) -> None:
        """Make a program one that is not there, wherever PATH finds it."""
        await self.shell('for each in $(which -a "$1"); do mount --bind /dev/null "$each"; done', tool)

    async def anchors(self) -> str:
        """Return the anchors, the bundle's hash and the aliases of Java's keystore, whose dates may change."""
        return await self.shell(f"ls {ANCHORS}; sha256sum /etc/ssl/certs/ca-certificates.crt; {_ALIASES}")


@contextmanager
def namespace(*, network: bool = False) -> Iterator[Namespace]:
    """Make the namespace, with `network` one that has nothing but loopback; a test that cannot have it is skipped."""
    if os.geteuid() != 0 or not ANCHORS.is_dir() or shutil.which("update-ca-certificates") is None:
        pytest.skip("needs root on a Debian, to give the machine a copy of /etc")
    kinds = ("--mount", "--net") if network else ("--mount",)
    argv = ("unshare", *kinds, "sh", "-c", _LOOPBACK + _COPY if network else _COPY, "sh", *COPIED)
    with locked(SYSTEM_STORE, shared=True):
        holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert holder.stdin and holder.stdout and holder.stderr
        is_ready = holder.stdout.readline() == b"ready\n"
    try:
        if not is_ready:
            pytest.skip(f"no mount namespace here: {holder.stderr.read().decode(errors='replace').strip()}")
        yield Namespace(holder.pid, kinds)
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
        holder.stderr.close()
