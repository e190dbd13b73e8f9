from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from devtls.system.changes.change import DesiredState, User
from devtls.system.machine.execute import Finished, NotFinished
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT, Run

ZONES = ("dev.local", "localhost", "test")


class WrittenRunner:
    """A runner whose programs say what the test wrote down: tool's name and first word -> output."""

    def __init__(self, said: Mapping[str, bytes | Finished | NotFinished] | None = None) -> None:
        self.said = dict(said or {})
        self.calls: list[Run] = []

    def run(self, run: Run) -> Finished | NotFinished:
        self.calls.append(run)
        answer = self.said.get(f"{PurePosixPath(run.argv[0]).name} {run.argv[1]}", b"")
        return Finished(0, answer) if isinstance(answer, bytes) else answer


def make_desired(*hostnames: str, zones: tuple[str, ...] = ZONES, dns_port: int = 15353) -> DesiredState:
    me = User("me", 1000, 1000, PurePosixPath("/home/me"))
    return DesiredState(me, zones, hostnames, dns_port=dns_port)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    system = tmp_path / "system"
    for directory in ("etc", "usr/bin"):
        (system / directory).mkdir(parents=True)
    return Machine.redirected(system, tmp_path / "home", {}, elevation=ALREADY_ROOT)
