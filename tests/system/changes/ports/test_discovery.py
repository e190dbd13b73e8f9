"""Which measures there are, and what systems are told that need none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devtls.system.changes.change import Part, Status, Wish
from devtls.system.changes.ports.discovery import find_measures
from devtls.system.machine.execute import Outcome, ProcessRunner, Trouble
from devtls.system.machine.machine import Machine


def names(machine: Machine, ways: tuple[str, ...] = (), recorded: tuple[str, ...] = ()) -> list[str]:
    return [measure.name for measure in find_measures(machine, ProcessRunner(), ways=ways, recorded=recorded)]


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
def test_a_system_that_needs_nothing_says_so(machine: Machine, wish: Wish, platform: str, word: str) -> None:
    (measure,) = find_measures(replace(machine, platform=platform), ProcessRunner())
    facts = measure.probe()
    assert measure.part is Part.PORTS
    assert measure.state(facts, wish).status is Status.IN_FORCE
    assert measure.state(facts, wish).detail
    assert word in measure.explain(facts, wish)
    assert not measure.install_plan(facts, wish)
    assert not measure.remove_plan(facts, measure.keepsake(facts))
    assert measure.read_failure(facts, Outcome(None, Trouble.FAILED, "no")).status is Status.FAILED
