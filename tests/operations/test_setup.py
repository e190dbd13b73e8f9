"""Setup and its revert without a command line, with changes of files in the place of this system's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.errors import SetupFailed, TrustFailed, UnknownMethod
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.operations.context import Context
from devtls.operations.desired_state import EXAMPLE
from devtls.operations.setup import SetupRequest, apply_setup, create_setup_authority, plan_setup
from devtls.operations.unsetup import apply_unsetup, plan_unsetup
from devtls.system.changes.change import ChangeState, Part, Status
from devtls.system.storage.keystore import Keystore
from tests.operations.recording import RecordingReporter
from tests.system.changes.fake_changes import FakeChanges
from tests.system.changes.file_change import MARK, program
from tests.system.machine.small_debian import SmallDebian

NAMES = SetupRequest(parts=(Part.NAMES,), with_trust=False)


def test_a_plan_changes_nothing(context: Context, changes: FakeChanges, debian: SmallDebian) -> None:
    plan = plan_setup(context, SetupRequest(zones=(Hostname("corp.dev"),)))
    assert (plan.has_work, plan.is_an_example, plan.hostnames) == (True, True, ())
    assert plan.desired.hostnames == (f"{EXAMPLE}.corp.dev",)
    assert plan.trust is not None
    assert len(plan.plans) == len(plan.trust.proposals) + 2
    assert changes.files() == {}
    assert not debian.state.exists()


def test_everything_is_applied_at_once_and_then_there_is_nothing_to_do(
    context: Context, changes: FakeChanges, reporter: RecordingReporter
) -> None:
    result = apply_setup(context, plan_setup(context, SetupRequest(names=("api",))))
    result.raise_for_failure()
    assert result.complete
    assert result.trust is not None
    assert changes.files()["names"] == f"{MARK}api.dev.local\napi.localhost\napi.test\n"
    labels = [*(store.label for store in result.trust.stores), *(change.label for change in result.changes)]
    assert reporter.of("begin") == labels
    plan = plan_setup(context, SetupRequest())
    assert (plan.has_work, plan.hostnames) == (False, ("api.dev.local", "api.localhost", "api.test"))
    again = apply_setup(context, plan)
    assert again.needs_nobody
    assert again.trust is not None
    assert again.trust.reports == ()
    assert reporter.of("begin") == labels


def test_a_project_gives_names_and_parts_need_no_ca(context: Context, changes: FakeChanges, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "devtls.toml").write_text("[routes]\nweb = 3000\n")
    request = SetupRequest(parts=(Part.NAMES,), with_trust=False, directory=project)
    result = apply_setup(context, plan_setup(context, request))
    assert (result.trust, result.complete) == (None, True)
    assert changes.files() == {"names": f"{MARK}web.dev.local\nweb.localhost\nweb.test\n"}
    assert not context.keystore.exists()


def test_a_ca_of_another_process_changes_the_names(context: Context, changes: FakeChanges) -> None:
    plan = plan_setup(context, SetupRequest())
    Keystore(context.paths.state_dir).create((Hostname("corp.dev"),), context.now)
    ready = create_setup_authority(context, plan)
    assert (plan.desired.zones, ready.desired.zones) == (DEFAULT_ZONES, ("corp.dev",))
    assert ready.desired.hostnames == (f"{EXAMPLE}.corp.dev",)
    assert create_setup_authority(context, plan_setup(context, NAMES)).trust is None


def test_an_unknown_method_is_refused(context: Context, changes: FakeChanges) -> None:
    with pytest.raises(UnknownMethod):
        plan_setup(context, SetupRequest(methods=("magic",)))


def test_a_result_names_the_changes_that_are_missing(context: Context, changes: FakeChanges) -> None:
    changes.change("names:names", tail=(program("false"),))
    changes.change("ports:ports", blocked=ChangeState(Status.SKIPPED, "you are root already"))
    result = apply_setup(context, plan_setup(context, SetupRequest(with_trust=False)))
    assert [change.name for change in result.missing] == ["names:names"]
    assert not result.complete
    with pytest.raises(SetupFailed, match=r"Not applied: Lines in names\.") as caught:
        result.raise_for_failure()
    assert caught.value.hint == "devtls setup names"


def test_trust_that_fails_is_raised_first(context: Context, changes: FakeChanges, debian: SmallDebian) -> None:
    debian.tool("usr/sbin/update-ca-certificates", "exit 1")
    debian.tool("usr/bin/certutil", "exit 1")
    result = apply_setup(context, plan_setup(context, SetupRequest()))
    assert list(changes.files()) == ["names", "ports"]
    with pytest.raises(TrustFailed):
        result.raise_for_failure()


def test_a_service_without_routes_is_skipped_with_the_reason(context: Context, changes: FakeChanges) -> None:
    request = SetupRequest(parts=(Part.SERVICE,), with_trust=False)
    plan = plan_setup(context, request)
    assert (plan.has_work, plan.proposals[0].state.status) == (False, Status.SKIPPED)
    assert plan.proposals[0].state.detail.startswith("the service would have no routes")
    assert apply_setup(context, plan).missing


def test_unsetup_reverts_the_changes_and_forgets_the_names(context: Context, changes: FakeChanges) -> None:
    apply_setup(context, plan_setup(context, SetupRequest(names=("api",))))
    plan = plan_unsetup(context)
    assert (plan.has_work, [proposal.change.name for proposal in plan.working]) == (
        True,
        ["ports:ports", "names:names"],
    )
    assert list(changes.files()) == ["names", "ports"]
    result = apply_unsetup(context, plan)
    result.raise_for_failure()
    assert [change.changed for change in result.changes] == [True, True]
    assert (changes.files(), context.record.hostnames()) == ({}, ())
    assert apply_unsetup(context, plan_unsetup(context)).changes == ()


def test_unsetup_of_one_part_leaves_the_names(context: Context, changes: FakeChanges) -> None:
    apply_setup(context, plan_setup(context, SetupRequest(names=("api",))))
    apply_unsetup(context, plan_unsetup(context, (Part.PORTS,)))
    assert list(changes.files()) == ["names"]
    assert context.record.hostnames() != ()
