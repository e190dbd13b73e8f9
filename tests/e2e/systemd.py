"""A real systemd for one test, the user's or the system's, in name spaces of its own.

Owns the name spaces (processes, mounts with a /run of their own; for the system's also the network), the control
groups in which the manager keeps its services, and their end: when the block ends, every process in it is killed. The
system's manager finds no unit of this machine, only those of the test and empty targets. Refuses to go on where the
kernel or the container gives no such thing: the test is skipped, with the manager's words. There is no journal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SYSTEMD = Path("/usr/lib/systemd/systemd")
PROJECT = Path(__file__).parents[2]
HOMES = "/srv"
"""An empty folder in the system's name spaces: /tmp is a service's own there."""

_CGROUPS = Path("/sys/fs/cgroup")
_GONE_S = 10.0
_OWN_RUN = """\
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system
for group in $GROUPS_OF_TEST; do mkdir -p "$group"; echo $$ > "$group/cgroup.procs"; done
"""
_USER = """\
mkdir -p "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
/usr/lib/systemd/systemd --user --log-target=console --log-level=warning >&2 &
for attempt in $(seq 100); do
  if systemctl --user show --property=Version >&2; then echo ready; exec cat; fi
  sleep 0.1
done
"""
_SYSTEM = """\
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /etc/systemd/system
mount -t tmpfs tmpfs /srv
mkdir /run/stubs /run/root
for target in sysinit basic shutdown sockets default; do
  printf '[Unit]\\nDefaultDependencies=no\\n' > /run/stubs/$target.target
done
# What lies in root's home is closed to the user of the service: what it needs of that is put into an open one.
if [ $# -gt 0 ]; then
  mount --bind /root /run/root
  mount -t tmpfs -o mode=755 tmpfs /root
  for folder in "$@"; do mkdir -p "$folder"; mount --bind "/run/root/${folder#/root/}" "$folder"; done
  umount /run/root
fi
echo ready
export container=test SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/stubs
exec /usr/lib/systemd/systemd --system --unit=default.target --log-target=console --log-level=info --show-status=no >&2
"""


class Manager:
    """A running manager; `run` runs a command beside it."""

    def __init__(self, enter: Sequence[str], environ: Mapping[str, str], systemctl: Sequence[str]) -> None:
        self._enter = tuple(enter)
        self._environ = dict(environ)
        self._systemctl = tuple(systemctl)

    def run(self, *argv: str, code: int = 0) -> str:
        """Run a command, which must end with `code`, and return what it said."""
        done = subprocess.run(
            [*self._enter, "--", *argv], env=self._environ, capture_output=True, text=True, check=False, timeout=90
        )
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl, which must succeed."""
        return self.run(*self._systemctl, *arguments)

    def property(self, name: str, unit: str = "devtls.service") -> str:
        """Return what systemd says of a unit."""
        return self.systemctl("show", unit, f"--property={name}", "--value").strip()


@contextmanager
def user_manager(home: Path, log: Path) -> Iterator[Manager]:
    """Start a manager of the user for the home folder; a test that cannot have one is skipped."""
    environ = {**_plain_environ(), "HOME": str(home), "XDG_RUNTIME_DIR": "/run/user/0"}
    with _started(_OWN_RUN + _USER, (), environ, log) as holder:
        enter = _enter(holder, home.parent, "pid", "mnt")
        yield Manager(enter, environ, ("systemctl", "--user"))


@contextmanager
def system_manager(log: Path) -> Iterator[Manager]:
    """Start a manager of the system; a test that cannot have one is skipped."""
    environ = {**_plain_environ(), "HOME": "/"}
    needed = {str(Path(each).resolve()) for each in (sys.base_prefix, sys.prefix, PROJECT)}
    closed = sorted(each for each in needed if each.startswith("/root/"))
    with _started(_OWN_RUN + _SYSTEM, closed, environ, log, "--net") as holder:
        manager = Manager(_enter(holder, Path("/"), "pid", "mnt", "net"), environ, ("systemctl",))
        deadline = time.monotonic() + _GONE_S
        while "running" not in _state(manager):
            if time.monotonic() > deadline:
                pytest.skip(f"no systemd of the system here: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.1)
        yield manager


def _state(manager: Manager) -> str:
    with suppress(AssertionError):
        return manager.systemctl("is-system-running")
    return ""


def _plain_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DEVTLS_", "DBUS_"))}


def _enter(holder: int, directory: Path, *kinds: str) -> tuple[str, ...]:
    names = {"pid": "pid_for_children"}
    spaces = (f"--{_OPTIONS[kind]}=/proc/{holder}/ns/{names.get(kind, kind)}" for kind in kinds)
    return ("nsenter", *spaces, f"--wd={directory}")


_OPTIONS = {"pid": "pid", "mnt": "mount", "net": "net"}


@contextmanager
def _started(script: str, words: Sequence[str], environ: Mapping[str, str], log: Path, *spaces: str) -> Iterator[int]:
    if os.geteuid() != 0 or not SYSTEMD.exists():
        pytest.skip("needs root and systemd, to give the test a manager of its own")
    groups = _groups(f"devtls-test-{os.getpid()}")
    told = {**environ, "GROUPS_OF_TEST": " ".join(map(str, groups))}
    argv = ["unshare", "--pid", "--fork", "--kill-child", "--mount", *spaces, "sh", "-c", script, "sh", *words]
    with log.open("wb") as errors:
        holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=told)
    assert holder.stdin and holder.stdout
    try:
        if holder.stdout.readline() != b"ready\n":
            pytest.skip(f"no systemd here: {log.read_text(errors='replace')[-500:]}")
        yield holder.pid
    finally:
        holder.stdin.close()
        holder.kill()
        holder.wait()
        holder.stdout.close()
        for group in groups:
            _remove(group)


def _groups(name: str) -> list[Path]:
    """Return a control group of the test's own in each hierarchy that systemd uses."""
    hierarchies = [_CGROUPS / each for each in ("systemd", "unified") if (_CGROUPS / each).is_dir()]
    return [each / name for each in hierarchies or [_CGROUPS]]


def _remove(group: Path) -> None:
    """Remove a control group and those below it, once the kernel has buried their processes."""
    deadline = time.monotonic() + _GONE_S
    while group.is_dir() and time.monotonic() < deadline:
        for directory, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(directory).rmdir()
        time.sleep(0.02)
