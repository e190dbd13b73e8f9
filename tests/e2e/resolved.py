"""systemd-resolved as its package has it, run by a test inside a namespace, without systemd around it.

Owns getting the program (from the machine, else out of Debian's package, unpacked into the test's folder: installing it
would change the machine's resolv.conf) and the machine that it needs to see: a link that is up, whose server is the one
that the machine had before. That server is told the way systemd-networkd tells it.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.namespace import Namespace

LINK_ADDRESS = "192.0.2.1"
_PROGRAM = "lib/systemd/systemd-resolved"
_PACKAGES = ("systemd-resolved", "libsystemd-shared")
_PATIENCE_S = 60.0
_MACHINE = """\
ip link add link0 type veth peer name link1
ip addr add "$1/24" dev link0
ip link set link0 up
ip link set link1 up
mount -t tmpfs none /run/systemd
mkdir -p /run/systemd/resolve /run/systemd/netif/links
grep -q ^systemd-resolve: /etc/passwd || {
  echo systemd-resolve:x:994:994::/:/usr/sbin/nologin >> /etc/passwd
  echo systemd-resolve:x:994: >> /etc/group
}
chown systemd-resolve: /run/systemd/resolve
cat > "/run/systemd/netif/links/$(ip -o link show link0 | cut -d: -f1)" <<END
ADMIN_STATE=configured
OPER_STATE=routable
CARRIER_STATE=carrier
ADDRESS_STATE=routable
NETWORK_FILE=/etc/systemd/network/link0.network
DNS=$1
END
echo nameserver 127.0.0.53 > /etc/resolv.conf
"""


def find_resolved(directory: Path) -> tuple[str, ...]:
    """Return the command of systemd-resolved; the test is skipped where it cannot be had."""
    installed = Path("/") / _PROGRAM
    if installed.is_file():
        return (str(installed),)
    if shutil.which("apt-get") is None:
        pytest.skip("no systemd-resolved here, and no apt-get to download it with")
    argv = ("apt-get", "download", *_PACKAGES)
    got = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if got.returncode != 0:
        pytest.skip(f"systemd-resolved cannot be downloaded: {got.stderr.strip()}")
    for package in directory.glob("*.deb"):
        subprocess.run(("dpkg", "-x", str(package), str(directory / "unpacked")), check=True, timeout=_PATIENCE_S)
    libraries = directory / "unpacked" / f"usr/lib/{platform.machine()}-linux-gnu/systemd"
    return ("env", f"LD_LIBRARY_PATH={libraries}", str(directory / "unpacked" / _PROGRAM))


async def make_link(machine: Namespace) -> None:
    """Give the machine a link with a server, and point its programs at systemd-resolved."""
    await machine.shell(_MACHINE, LINK_ADDRESS)


@asynccontextmanager
async def resolving(machine: Namespace, command: tuple[str, ...], directory: Path) -> AsyncIterator[None]:
    """Run it until the block ends; entered when its stub listens."""
    log = directory / "resolved.log"
    async with machine.runs(command, log) as process:
        for _ in range(500):
            if "127.0.0.53%lo:53 " in await machine.shell("ss -Hlun"):
                break
            assert process.poll() is None, log.read_text()
            await asyncio.sleep(0.02)
        yield
