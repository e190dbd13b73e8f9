"""A real systemd manager of the user, for one test: in a mount and process name space with a /run of its own.

Owns the name space, the control groups in which the manager keeps its services, and their end: when the block ends,
every process in it is killed. Refuses to go on where the kernel or the container gives no such thing: the test is
skipped, with the manager's words. There is no journal.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SYSTEMD = Path("/usr/lib/systemd/systemd")
_CGROUPS = Path("/sys/fs/cgroup")
_START = """\
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
for group in "$@"; do mkdir -p "$group"; echo $$ > "$group/cgroup.procs"; done
/usr/lib/systemd/systemd --user --log-target=console --log-level=warning >&2 &
for attempt in $(seq 100); do
  if systemctl --user show --property=Version >&2; then echo ready; exec cat; fi
  sleep 0.1
done
"""


class UserManager:
    """A running manager; `run` runs a command beside it."""

    def __init__(self, holder: int, environ: Mapping[str, str], folder: Path) -> None:
        self._enter = ("nsenter", f"--pid=/proc/{holder}/ns/pid_for_children", f"--mount=/proc/{holder}/ns/mnt")
        self._environ = dict(environ)
        self._folder = folder

    def run(self, *argv: str, code: int = 0) -> str:
        """Run a command, which must end with `code`, and return what it said."""
        done = subprocess.run(
            [*self._enter, f"--wd={self._folder}", "--", *argv],
            env=self._environ, capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def property(self, name: str) -> str:
        """Return what systemd says of the service."""
        shown = self.run("systemctl", "--user", "show", "devtls.service", f"--property={name}", "--value")
        return shown.strip()


@contextmanager
def user_manager(home: Path, log: Path) -> Iterator[UserManager]:
    """Start a manager for the home folder; a test that cannot have one is skipped."""
    if os.geteuid() != 0 or not SYSTEMD.exists():
        pytest.skip("needs root and systemd, to give the test a manager of its own")
    groups = _groups(f"devtls-test-{os.getpid()}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DEVTLS_", "DBUS_"))}
    environ = {**kept, "HOME": str(home), "XDG_RUNTIME_DIR": "/run/user/0"}
    argv = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "sh", "-c", _START, "sh", *map(str, groups)]
    with log.open("wb") as errors:
        holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environ)
    assert holder.stdin and holder.stdout
    try:
        if holder.stdout.readline() != b"ready\n":
            pytest.skip(f"no systemd manager of the user here: {log.read_text(errors='replace')[-500:]}")
        yield UserManager(holder.pid, environ, home.parent)
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
        for group in groups:
            _remove(group)


def _groups(name: str) -> list[Path]:
    """Return a control group of the test's own in each hierarchy that systemd uses."""
    hierarchies = [_CGROUPS / each for each in ("systemd", "unified") if (_CGROUPS / each).is_dir()]
    return [each / name for each in hierarchies or [_CGROUPS]]


def _remove(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)  # noqa: PTH106 - a control group's files cannot be removed, only the folder
