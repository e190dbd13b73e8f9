"""Which measures count: the usual ones, those asked for, those of an earlier setup."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.errors import ExitCode, UnknownMethod
from devtls.system.changes.change import Part
from devtls.system.changes.discovery import METHODS, find_applied, find_changes, method_of
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from tests.system.changes.fake_changes import FakeChanges

RUNNER = ProcessRunner()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    FakeChanges(tmp_path / "changes").install(monkeypatch)
    return Machine.redirected(tmp_path, tmp_path, {})


def test_parts_come_in_their_order(machine: Machine) -> None:
    found = find_changes(machine, RUNNER, [Part.SERVICE, Part.NAMES])
    assert [change.name for change in found] == ["names:names", "service:service"]


def test_the_way_that_is_asked_for_counts_before_that_of_an_earlier_setup(machine: Machine) -> None:
    def ports(methods: list[str], recorded: list[str]) -> list[str]:
        found = find_changes(machine, RUNNER, [Part.PORTS, Part.NAMES], methods=methods, recorded=recorded)
        return [change.name for change in found if change.part is Part.PORTS]

    assert ports([], []) == ["ports:ports"]
    assert ports(["other"], []) == ["ports:other"]
    assert ports([], ["ports:other"]) == ["ports:other"]
    assert ports(["ports"], ["ports:other"]) == ["ports:ports"]
    assert ports(["names"], ["ports:other"]) == ["ports:other"]
    assert ports([], ["ports:unknown"]) == ["ports:ports"]


def test_a_method_of_another_part_is_unknown_to_this_one(machine: Machine) -> None:
    with pytest.raises(UnknownMethod, match="'ports'") as caught:
        find_changes(machine, RUNNER, [Part.NAMES], methods=["ports"])
    assert (caught.value.hint, caught.value.exit_code) == ("--method with one of: names", ExitCode.USAGE)


def test_what_may_have_been_taken_is_found_without_a_record(machine: Machine) -> None:
    found = find_applied(machine, RUNNER, list(Part), recorded=())
    assert [change.name for change in found] == ["names:names", "ports:ports", "ports:other", "service:service"]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_change_of_a_system_can_be_asked_for_by_its_method(tmp_path: Path, platform: str) -> None:
    machine = Machine.redirected(tmp_path, tmp_path, {}, platform=platform)
    for change in find_changes(machine, RUNNER, list(Part)):
        assert method_of(change) in METHODS
