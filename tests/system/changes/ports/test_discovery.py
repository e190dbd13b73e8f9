"""Which measures there are, and what systems are told that need none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devtls.system.changes.change import DesiredState, Part, Status
from devtls.system.changes.ports.discovery import find_changes
from devtls.system.machine.execute import Outcome, ProcessRunner, StepFailure
from devtls.system.machine.machine import Machine


def names(machine: Machine, ways: tuple[str, ...] = (), recorded: tuple[str, ...] = ()) -> list[str]:
    return [change.name for change in find_changes(machine, ProcessRunner(), methods=ways, recorded=recorded)]


@pytest.mark.parametrize(
    ("ways", "recorded", "expected"),
    [
        ((), (), ["ports:sysctl"]),
        (("sysctl",), (), ["ports:sysctl"]),
        (("hosts",), ("names:hosts",), ["ports:sysctl"]),
        (("nft",), (), ["ports:nft"]),
        (("sysctl", "nft"), (), ["ports:sysctl", "ports:nft"]),
        ((), ("ports:nft",), ["ports:sysctl", "ports:nft"]),
    ],
)
def test_linux_has_the_usual_one(
    machine: Machine, ways: tuple[str, ...], recorded: tuple[str, ...], expected: list[str]
) -> None:
    assert names(machine, ways, recorded) == expected


def test_another_unix_has_none(machine: Machine) -> None:
    assert names(replace(machine, platform="freebsd14")) == []


@pytest.mark.parametrize(("platform", "word"), [("darwin", "launchd"), ("win32", "netsh")])
def test_a_system_that_needs_nothing_says_so(machine: Machine, desired: DesiredState, platform: str, word: str) -> None:
    (change,) = find_changes(replace(machine, platform=platform), ProcessRunner())
    facts = change.probe()
    assert change.part is Part.PORTS
    assert change.state(facts, desired).status is Status.APPLIED
    assert change.state(facts, desired).detail
    assert word in change.explain(facts, desired)
    assert not change.apply_plan(facts, desired)
    assert not change.revert_plan(facts, change.previous_state(facts, desired) or {})
    assert change.read_failure(facts, Outcome(None, StepFailure.FAILED, "no")).status is Status.FAILED
