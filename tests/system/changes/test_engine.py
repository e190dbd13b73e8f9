"""Changes are applied, probed again, and reverted, with real files and real programs."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.system.changes.change import ChangeState, Part, Status
from devtls.system.changes.engine import Executor, Result, apply, propose, propose_reverts, revert
from devtls.system.changes.record import AppliedChange, ChangeRecord
from devtls.system.machine.execute import Finished, ProcessRunner
from devtls.system.machine.plan import ALREADY_ROOT, Elevation, Run
from tests.system.as_root import AS_ROOT
from tests.system.changes.file_change import DESIRED, MARK, FileChange, program

NEXT = replace(DESIRED, hostnames=("api.test",))


@pytest.fixture
def executor(tmp_path: Path) -> Executor:
    return Executor(ProcessRunner(), None, ChangeRecord(tmp_path / "state"), 0)


@pytest.fixture
def file(tmp_path: Path) -> FileChange:
    return FileChange(tmp_path / "names")


def apply_one(change: FileChange, executor: Executor) -> Result:
    proposal = propose(change, DESIRED)
    return apply(proposal, executor)


def revert_one(change: FileChange, executor: Executor) -> Result:
    (proposal,) = propose_reverts([change], executor.record.entries())
    return revert(proposal, executor)


def test_a_change_is_applied_remembered_and_reverted(file: FileChange, executor: Executor) -> None:
    file.path.write_text("mine\n")
    applied = apply_one(file, executor)
    assert (applied.is_applied, applied.changed) == (True, True)
    assert file.path.read_text() == MARK + "app.dev.local\napp.test\n"
    assert executor.record.entries() == (AppliedChange(Part.NAMES, "names:file", {"content": "mine\n"}),)
    undone = revert_one(file, executor)
    assert (undone.state.status, undone.changed) == (Status.ABSENT, True)
    assert file.path.read_text() == "mine\n"
    assert executor.record.entries() == ()


def test_a_second_run_has_nothing_to_do(file: FileChange, executor: Executor) -> None:
    apply_one(file, executor)
    proposal = propose(file, DESIRED)
    assert not proposal.plan
    again = apply(proposal, executor)
    assert (again.is_applied, again.changed, again.commands) == (True, False, ())


def test_what_was_applied_without_us_is_not_called_ours(file: FileChange, executor: Executor) -> None:
    file.path.write_text(file.wanted(DESIRED))
    assert apply_one(file, executor).is_applied
    assert executor.record.entries() == ()


def test_an_outdated_change_is_renewed_and_the_first_previous_state_brings_the_file_back(
    file: FileChange, executor: Executor
) -> None:
    file.path.write_text("mine\n")
    apply_one(file, executor)
    proposal = propose(file, NEXT)
    assert proposal.state.status is Status.OUTDATED
    assert apply(proposal, executor).changed
    assert file.path.read_text() == MARK + "api.test\n"
    revert_one(file, executor)
    assert file.path.read_text() == "mine\n"


def test_the_entry_is_written_before_the_change(file: FileChange, executor: Executor) -> None:
    seen: list[tuple[AppliedChange, ...]] = []

    class Watching:
        def run(self, run: Run) -> Finished:
            seen.append(executor.record.entries())
            return Finished(0)

    apply_one(replace(file, lies=True), Executor(Watching(), None, executor.record, 0))
    assert [entry.name for entry in seen[0]] == ["names:file"]


def test_a_plan_that_stops_halfway_is_undone(file: FileChange, executor: Executor) -> None:
    file.path.write_text("mine\n")
    result = apply_one(replace(file, tail=(program("false"),)), executor)
    assert (result.state.status, result.changed) == (Status.FAILED, False)
    assert result.manual == "Write the names into names."
    assert file.path.read_text() == "mine\n"
    assert executor.record.entries() == ()


def test_a_service_that_is_in_place_and_does_not_run_stays_for_its_log(file: FileChange, executor: Executor) -> None:
    service = replace(file, part=Part.SERVICE)
    assert apply_one(replace(service, tail=(program("false"),)), executor).state.status is Status.FAILED
    assert file.path.exists()
    assert [entry.name for entry in executor.record.entries()] == ["service:file"]
    assert revert_one(service, executor).state.status is Status.ABSENT
    half = replace(service, tail=(program("false"), program("true")))
    assert apply_one(half, executor).state.status is Status.FAILED
    assert not file.path.exists()
    assert executor.record.entries() == ()


def test_what_cannot_be_undone_stays_recorded_and_is_reported(file: FileChange, executor: Executor) -> None:
    stuck = replace(file, tail=(program("false"),), stuck=(program("false"),))
    result = apply_one(stuck, executor)
    assert "a part of it is left, which devtls unsetup reverts" in result.state.detail
    assert [entry.name for entry in executor.record.entries()] == ["names:file"]


def test_an_earlier_state_survives_a_renewal_that_fails(file: FileChange, executor: Executor) -> None:
    apply_one(file, executor)
    before = file.path.read_text()
    proposal = propose(replace(file, lies=True, tail=(program("false"),)), NEXT)
    assert apply(proposal, executor).state.status is Status.FAILED
    assert file.path.read_text() == before
    assert len(executor.record.entries()) == 1


def test_a_tool_that_lies_about_success_is_found_out(file: FileChange, executor: Executor) -> None:
    result = apply_one(replace(file, lies=True), executor)
    assert (result.state.status, result.state.detail) == (
        Status.FAILED,
        "its tools reported success; still, it is not applied",
    )
    assert executor.record.entries() == ()


def test_an_effect_that_comes_a_moment_later_is_waited_for(file: FileChange, executor: Executor) -> None:
    late = threading.Timer(0.1, lambda: file.path.write_text(file.wanted(DESIRED)))
    late.start()
    result = apply_one(replace(file, lies=True), replace(executor, patience_s=30))
    late.join()
    assert (result.is_applied, result.changed) == (True, True)


def test_a_change_that_is_blocked_afterwards_says_so_itself(file: FileChange, executor: Executor) -> None:
    proposal = propose(file, DESIRED)
    locked = ChangeState(Status.READ_ONLY, "the disk is read-only now", "remount it")
    late = replace(proposal, change=replace(file, blocked=locked))
    assert apply(late, executor).state == locked


def test_nothing_is_done_that_could_not_be_recorded(file: FileChange, executor: Executor) -> None:
    executor.record.directory.write_text("in the way")
    result = apply_one(file, executor)
    assert result.state.status is Status.FAILED
    assert "changes.json cannot be written" in result.state.detail
    assert not file.path.exists()


def test_without_elevation_the_commands_are_there_and_nothing_is_done(file: FileChange, executor: Executor) -> None:
    needy = replace(file, elevate=True)
    result = apply_one(needy, executor)
    assert (result.state.status, result.manual) == (Status.SKIPPED, "Write the names into names.")
    assert result.commands[0].startswith("sudo /usr/bin/install")
    assert executor.record.entries() == ()
    file.path.write_text(file.wanted(DESIRED))
    undone = revert_one(needy, executor)
    assert (undone.state.status, undone.state.remedy.split(", then ")[1]) == (Status.SKIPPED, "devtls unsetup.")
    assert file.path.exists()


def test_an_elevated_step_is_done_by_the_tool_that_is_shown(file: FileChange, tmp_path: Path) -> None:
    executor = Executor(AS_ROOT, ALREADY_ROOT, ChangeRecord(tmp_path / "state"), 0)
    assert apply_one(replace(file, elevate=True), executor).is_applied
    assert revert_one(replace(file, elevate=True), executor).changed
    shown = apply_one(
        replace(file, elevate=True), Executor(executor.runner, Elevation("doas", ("/bin/doas",)), executor.record)
    )
    assert shown.commands[0].startswith("/bin/doas /usr/bin/install -m 0644")


def test_a_blocked_change_is_passed_over_with_its_manual_steps(file: FileChange, executor: Executor) -> None:
    blocked = ChangeState(Status.MANUAL, "nobody may", "ask somebody")
    result = apply_one(replace(file, blocked=blocked), executor)
    assert (result.state, result.manual, result.commands) == (blocked, "Write the names into names.", ())


def test_what_is_marked_is_found_without_a_record(file: FileChange, executor: Executor) -> None:
    file.path.write_text(file.wanted(NEXT))
    (proposal,) = propose_reverts([file], ())
    assert proposal.state.status is Status.APPLIED
    assert revert(proposal, executor).changed
    assert not file.path.exists()


def test_an_entry_of_what_is_gone_is_dropped(file: FileChange, executor: Executor) -> None:
    executor.record.add(AppliedChange(Part.NAMES, "names:file", {}))
    result = revert_one(file, executor)
    assert (result.state.status, result.changed, executor.record.entries()) == (Status.ABSENT, False, ())


def test_the_last_change_is_reverted_first(file: FileChange) -> None:
    other = replace(file, method="other")
    assert [each.change.name for each in propose_reverts([file, other], ())] == ["names:other", "names:file"]


def test_a_revert_that_fails_says_so_and_stays_recorded(file: FileChange, executor: Executor) -> None:
    apply_one(file, executor)
    result = revert_one(replace(file, stuck=(program("false"),)), executor)
    assert (result.state.status, result.state.remedy) == (Status.FAILED, "devtls unsetup names")
    assert len(executor.record.entries()) == 1


def test_a_revert_that_only_claims_success_is_found_out(file: FileChange, executor: Executor) -> None:
    class Idle:
        def run(self, run: Run) -> Finished:
            return Finished(0)

    apply_one(file, executor)
    needy = replace(file, elevate=True)
    (proposal,) = propose_reverts([needy], executor.record.entries())
    result = revert(proposal, Executor(Idle(), ALREADY_ROOT, executor.record))
    assert "still there" in result.state.detail
    assert len(executor.record.entries()) == 1


def test_a_record_that_breaks_meanwhile_fails_that_change_only(file: FileChange, executor: Executor) -> None:
    apply_one(file, executor)
    (proposal,) = propose_reverts([file], executor.record.entries())
    executor.record.path.write_text("{")
    assert "cannot be read" in revert(proposal, executor).state.detail
