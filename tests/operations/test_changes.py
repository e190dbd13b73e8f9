"""Changes are applied and reverted one after the other, and each is reported when it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devtls.operations.changes import apply_all, planned_results, revert_all
from devtls.operations.context import Context
from devtls.system.changes.change import Part
from devtls.system.changes.engine import propose, propose_revert
from devtls.system.machine.plan import ALREADY_ROOT, Elevation
from tests.operations.recording import RecordingReporter
from tests.system.changes.file_change import DESIRED, FileChange, program

SUDO = Elevation("sudo", ("/usr/bin/sudo",))


def on_machine_with(context: Context, elevation: Elevation | None) -> Context:
    return replace(context, machine=replace(context.machine, elevation=elevation))


@pytest.mark.parametrize(
    "case",
    [
        (False, SUDO, [""]),
        (False, None, [""]),
        (True, SUDO, ["sudo"]),
        (True, ALREADY_ROOT, [""]),
        (True, None, []),
    ],
)
def test_a_change_that_can_be_made_is_reported_when_it_begins(
    context: Context, reporter: RecordingReporter, tmp_path: Path, case: tuple[bool, Elevation | None, list[str]]
) -> None:
    elevate, elevation, told = case
    change = FileChange(tmp_path / "names", elevate=elevate, tail=(program("false"),))
    (result,) = apply_all(on_machine_with(context, elevation), [propose(change, DESIRED)])
    assert not result.is_applied
    assert (reporter.of("begin"), reporter.elevations) == (["Lines in names"] * len(told), told)


def test_a_change_with_nothing_to_do_is_not_reported(
    context: Context, reporter: RecordingReporter, tmp_path: Path
) -> None:
    change = FileChange(tmp_path / "names")
    for _ in range(2):
        (result,) = apply_all(context, [propose(change, DESIRED)])
        assert result.is_applied
    for _ in range(2):
        revert_all(context, [propose_revert(change, {})])
    assert reporter.of("begin") == ["Lines in names"] * 2


def test_one_that_fails_stops_no_other(context: Context, tmp_path: Path) -> None:
    bad = FileChange(tmp_path / "bad", "bad", tail=(program("false"),))
    good = FileChange(tmp_path / "good", "good", Part.PORTS)
    results = apply_all(context, [propose(bad, DESIRED), propose(good, DESIRED)])
    assert [result.is_applied for result in results] == [False, True]
    assert [entry.name for entry in context.record.entries()] == ["ports:good"]


def test_a_plan_has_the_shape_of_a_result(context: Context, tmp_path: Path) -> None:
    change = FileChange(tmp_path / "names")
    (planned,) = planned_results(context, [propose(change, DESIRED)])
    assert (planned.is_applied, planned.changed, len(planned.commands)) == (False, False, 1)
    assert not change.path.exists()
