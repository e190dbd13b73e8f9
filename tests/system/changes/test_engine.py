"""FakeChanges are taken, looked at again, and taken back, with real files and real programs."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.system.changes.change import ChangeState, Part, Status
from devtls.system.changes.engine import Bench, Proposal, Result, carry_out, propose, propose_removal, take_back
from devtls.system.changes.record import ChangeRecord, Taken
from devtls.system.machine.execute import Finished, ProcessRunner
from devtls.system.machine.plan import ALREADY_ROOT, Elevation, Run
from tests.system.changes.file_change import DESIRED, MARK, FileChange, program

NEXT_WISH = replace(DESIRED, hostnames=("api.test",))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ProcessRunner(), None, ChangeRecord(tmp_path / "state"), 0)


@pytest.fixture
def file(tmp_path: Path) -> FileChange:
    return FileChange(tmp_path / "names")


def take(change: FileChange, bench: Bench) -> Result:
    proposal = propose(change, DESIRED)
    return carry_out(proposal, DESIRED, bench)


def undo(change: FileChange, bench: Bench) -> Result:
    (proposal,) = propose_removal([change], bench.record.entries())
    return take_back(proposal, bench)


def test_a_measure_is_taken_remembered_and_taken_back(file: FileChange, bench: Bench) -> None:
    file.path.write_text("mine\n")
    taken = take(file, bench)
    assert (taken.is_applied, taken.changed) == (True, True)
    assert file.path.read_text() == MARK + "app.dev.local\napp.test\n"
    assert bench.record.entries() == (Taken("names:file", {"content": "mine\n"}),)
    undone = undo(file, bench)
    assert (undone.state.status, undone.changed) == (Status.ABSENT, True)
    assert file.path.read_text() == "mine\n"
    assert bench.record.entries() == ()


def test_a_second_run_has_nothing_to_do(file: FileChange, bench: Bench) -> None:
    take(file, bench)
    proposal = propose(file, DESIRED)
    assert not proposal.plan
    again = carry_out(proposal, DESIRED, bench)
    assert (again.is_applied, again.changed, again.commands) == (True, False, ())


def test_what_was_in_force_without_us_is_not_called_ours(file: FileChange, bench: Bench) -> None:
    file.path.write_text(file.wanted(DESIRED))
    assert take(file, bench).is_applied
    assert bench.record.entries() == ()


def test_an_outdated_measure_is_renewed_and_the_first_keepsake_brings_the_file_back(
    file: FileChange, bench: Bench
) -> None:
    file.path.write_text("mine\n")
    take(file, bench)
    proposal = propose(file, NEXT_WISH)
    assert proposal.state.status is Status.OUTDATED
    assert carry_out(proposal, NEXT_WISH, bench).changed
    assert file.path.read_text() == MARK + "api.test\n"
    undo(file, bench)
    assert file.path.read_text() == "mine\n"


def test_the_entry_is_written_before_the_change(file: FileChange, bench: Bench) -> None:
    seen: list[tuple[Taken, ...]] = []

    class Watching:
        def run(self, run: Run) -> Finished:
            seen.append(bench.record.entries())
            return Finished(0)

    take(replace(file, lies=True), Bench(Watching(), None, bench.record, 0))
    assert [entry.name for entry in seen[0]] == ["names:file"]


def test_a_plan_that_stops_half_way_is_taken_back(file: FileChange, bench: Bench) -> None:
    file.path.write_text("mine\n")
    result = take(replace(file, tail=(program("false"),)), bench)
    assert (result.state.status, result.changed) == (Status.FAILED, False)
    assert result.by_hand == "Write the names into names."
    assert file.path.read_text() == "mine\n"
    assert bench.record.entries() == ()


def test_a_service_that_is_in_place_and_does_not_run_stays_for_its_log(file: FileChange, bench: Bench) -> None:
    service = replace(file, part=Part.SERVICE)
    assert take(replace(service, tail=(program("false"),)), bench).state.status is Status.FAILED
    assert file.path.exists()
    assert [entry.name for entry in bench.record.entries()] == ["service:file"]
    assert undo(service, bench).state.status is Status.ABSENT
    half = replace(service, tail=(program("false"), program("true")))
    assert take(half, bench).state.status is Status.FAILED
    assert not file.path.exists()
    assert bench.record.entries() == ()


def test_what_cannot_be_taken_back_stays_recorded_and_is_said(file: FileChange, bench: Bench) -> None:
    stuck = replace(file, tail=(program("false"),), stuck=(program("false"),))
    result = take(stuck, bench)
    assert "a part of it is left, which devtls unsetup takes back" in result.state.detail
    assert [entry.name for entry in bench.record.entries()] == ["names:file"]


def test_an_earlier_state_survives_a_renewal_that_fails(file: FileChange, bench: Bench) -> None:
    take(file, bench)
    before = file.path.read_text()
    proposal = propose(replace(file, lies=True, tail=(program("false"),)), NEXT_WISH)
    assert carry_out(proposal, NEXT_WISH, bench).state.status is Status.FAILED
    assert file.path.read_text() == before
    assert len(bench.record.entries()) == 1


def test_a_tool_that_lies_about_success_is_found_out(file: FileChange, bench: Bench) -> None:
    result = take(replace(file, lies=True), bench)
    assert (result.state.status, result.state.detail) == (
        Status.FAILED,
        "its tools ended well; still, it is not in force",
    )
    assert bench.record.entries() == ()


def test_what_comes_into_force_a_moment_later_is_waited_for(file: FileChange, bench: Bench) -> None:
    late = threading.Timer(0.1, lambda: file.path.write_text(file.wanted(DESIRED)))
    late.start()
    result = take(replace(file, lies=True), replace(bench, patience_s=30))
    late.join()
    assert (result.is_applied, result.changed) == (True, True)


def test_a_measure_that_is_blocked_afterwards_says_so_itself(file: FileChange, bench: Bench) -> None:
    proposal = propose(file, DESIRED)
    locked = ChangeState(Status.READ_ONLY, "the disk is read-only now", "remount it")
    late = Proposal(
        replace(file, blocked=locked), proposal.facts, proposal.state, proposal.plan, proposal.previous_state
    )
    assert carry_out(late, DESIRED, bench).state == locked


def test_nothing_is_done_that_could_not_be_recorded(file: FileChange, bench: Bench) -> None:
    bench.record.directory.write_text("in the way")
    result = take(file, bench)
    assert result.state.status is Status.FAILED
    assert "setup.json cannot be written" in result.state.detail
    assert not file.path.exists()


def test_without_elevation_the_commands_are_there_and_nothing_is_done(file: FileChange, bench: Bench) -> None:
    needy = replace(file, elevate=True)
    result = take(needy, bench)
    assert (result.state.status, result.by_hand) == (Status.SKIPPED, "Write the names into names.")
    assert result.commands[0].startswith("sudo /usr/bin/install")
    assert bench.record.entries() == ()
    file.path.write_text(file.wanted(DESIRED))
    undone = undo(needy, bench)
    assert (undone.state.status, undone.state.remedy.split(", then ")[1]) == (Status.SKIPPED, "devtls unsetup.")
    assert file.path.exists()


def test_an_elevated_step_is_done_by_the_tool_that_is_shown(file: FileChange, tmp_path: Path) -> None:
    bench = Bench(ProcessRunner(ALREADY_ROOT), ALREADY_ROOT, ChangeRecord(tmp_path / "state"), 0)
    assert take(replace(file, elevate=True), bench).is_applied
    assert undo(replace(file, elevate=True), bench).changed
    shown = take(replace(file, elevate=True), Bench(bench.runner, Elevation("doas", ("/bin/doas",)), bench.record))
    assert shown.commands[0].startswith("/bin/doas /usr/bin/install -m 0644")


def test_a_blocked_measure_is_passed_over_with_its_way_by_hand(file: FileChange, bench: Bench) -> None:
    blocked = ChangeState(Status.MANUAL, "nobody may", "ask somebody")
    result = take(replace(file, blocked=blocked), bench)
    assert (result.state, result.by_hand, result.commands) == (blocked, "Write the names into names.", ())


def test_what_is_marked_is_found_without_a_record(file: FileChange, bench: Bench) -> None:
    file.path.write_text(file.wanted(NEXT_WISH))
    (proposal,) = propose_removal([file], ())
    assert proposal.state.status is Status.APPLIED
    assert take_back(proposal, bench).changed
    assert not file.path.exists()


def test_an_entry_of_what_is_gone_is_dropped(file: FileChange, bench: Bench) -> None:
    bench.record.add("names:file", {})
    result = undo(file, bench)
    assert (result.state.status, result.changed, bench.record.entries()) == (Status.ABSENT, False, ())


def test_what_was_taken_last_is_taken_back_first(file: FileChange) -> None:
    other = replace(file, method="other")
    assert [each.change.name for each in propose_removal([file, other], ())] == ["names:other", "names:file"]


def test_taking_back_that_fails_says_so_and_stays_recorded(file: FileChange, bench: Bench) -> None:
    take(file, bench)
    result = undo(replace(file, stuck=(program("false"),)), bench)
    assert (result.state.status, result.state.remedy) == (Status.FAILED, "devtls unsetup names")
    assert len(bench.record.entries()) == 1


def test_a_removal_that_only_claims_success_is_found_out(file: FileChange, bench: Bench) -> None:
    class Idle:
        def run(self, run: Run) -> Finished:
            return Finished(0)

    take(file, bench)
    needy = replace(file, elevate=True)
    (proposal,) = propose_removal([needy], bench.record.entries())
    result = take_back(proposal, Bench(Idle(), ALREADY_ROOT, bench.record))
    assert "still there" in result.state.detail
    assert len(bench.record.entries()) == 1


def test_a_record_that_breaks_meanwhile_is_that_measures_trouble_only(file: FileChange, bench: Bench) -> None:
    take(file, bench)
    (proposal,) = propose_removal([file], bench.record.entries())
    bench.record.path.write_text("{")
    assert "cannot be read" in take_back(proposal, bench).state.detail
