from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.system.changes.change import Change, DesiredState, Part, Status
from devtls.system.changes.resolver.dnsmasq import DNSMASQ, NETWORK_MANAGER
from devtls.system.changes.resolver.drop_in import MARK, DropIn, DropInFacts, Recipe
from devtls.system.changes.resolver.macos import RESOLVER
from devtls.system.changes.resolver.resolved import DELEGATE, DROP_IN
from devtls.system.machine.execute import Outcome, StepFailure, execute
from devtls.system.machine.plan import Plan
from tests.system.as_root import AS_ROOT
from tests.system.changes.resolver.conftest import make_desired
from tests.system.changes.resolver.golden_plans import check_section

DESIRED = make_desired("app.dev.local")
QUIET = Recipe("quiet", "Quiet", "Nobody has to be told.", "etc/quiet.d", lambda desired: {"devtls.conf": "x\n"})
HEAD = f"{MARK}\n".encode()


def _change(root: Path, recipe: Recipe = QUIET, obstacle: str = "") -> DropIn:
    return DropIn(recipe, root, obstacle, owner=os.getuid())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "etc" / "quiet.d"
    made.mkdir(parents=True)
    return made


def test_a_file_and_its_directory_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    drop_in = _change(tmp_path)
    change: Change[DropInFacts, DesiredState] = drop_in
    assert (change.name, change.part, change.label) == ("names:quiet", Part.NAMES, "Quiet")
    facts = drop_in.probe()
    kept = drop_in.previous_state(facts, DESIRED)
    assert (drop_in.state(facts, DESIRED).status, kept) == (Status.ABSENT, {"folder": "absent"})
    assert execute(drop_in.apply_plan(facts, DESIRED), AS_ROOT).done
    file = tmp_path / "etc/quiet.d/devtls.conf"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (HEAD + b"x\n", 0o644)
    facts = drop_in.probe()
    assert drop_in.state(facts, DESIRED).status is Status.APPLIED
    assert (drop_in.apply_plan(facts, DESIRED), drop_in.previous_state(facts, DESIRED)) == (Plan(), {})
    assert execute(drop_in.revert_plan(facts, kept), AS_ROOT).done
    assert not file.parent.exists()
    assert not drop_in.revert_plan(drop_in.probe(), kept)


def test_a_directory_that_was_there_or_holds_more_stays(tmp_path: Path, directory: Path) -> None:
    drop_in = _change(tmp_path)
    assert execute(drop_in.apply_plan(drop_in.probe(), DESIRED), AS_ROOT).done
    (directory / "other.conf").write_text("theirs\n")
    assert execute(drop_in.revert_plan(drop_in.probe(), {"folder": "absent"}), AS_ROOT).done
    assert [path.name for path in directory.iterdir()] == ["other.conf"]
    (directory / "other.conf").unlink()
    assert execute(drop_in.revert_plan(drop_in.probe(), {}), AS_ROOT).done
    assert directory.is_dir()


def test_old_content_is_replaced_and_files_of_lost_zones_go(tmp_path: Path, directory: Path) -> None:
    (directory / "devtls.conf").write_bytes(HEAD + b"old\n")
    (directory / "gone").write_bytes(HEAD + b"x\n")
    drop_in = _change(tmp_path)
    assert drop_in.state(drop_in.probe(), DESIRED).status is Status.OUTDATED
    assert execute(drop_in.apply_plan(drop_in.probe(), DESIRED), AS_ROOT).done
    assert [path.name for path in directory.iterdir()] == ["devtls.conf"]
    assert drop_in.state(drop_in.probe(), DESIRED).status is Status.APPLIED


@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_what_is_not_ours_is_never_touched(tmp_path: Path, directory: Path, what: str) -> None:
    path = directory / "devtls.conf"
    if what == "file":
        path.write_text("# mine\nx\n")
    elif what == "link":
        (tmp_path / "target").write_bytes(HEAD + b"x\n")
        path.symlink_to(tmp_path / "target")
    else:
        path.mkdir()
    drop_in = _change(tmp_path)
    facts = drop_in.probe()
    state = drop_in.state(facts, DESIRED)
    assert (state.status, "left as it is" in state.detail) == (Status.MANUAL, True)
    assert not drop_in.apply_plan(facts, DESIRED)
    assert not drop_in.revert_plan(facts, {"folder": "absent"})
    assert drop_in.explain(facts, DESIRED) == ""


def test_a_directory_that_is_a_link_or_open_to_others_is_refused(tmp_path: Path, directory: Path) -> None:
    directory.chmod(0o777)
    state = _change(tmp_path).state(_change(tmp_path).probe(), DESIRED)
    assert (state.status, "others than root may write" in state.detail) == (Status.MANUAL, True)
    directory.chmod(0o755)
    stranger = DropIn(QUIET, tmp_path, owner=os.getuid() + 1)
    state = stranger.state(stranger.probe(), DESIRED)
    assert (state.status, "does not belong to root" in state.detail) == (Status.MANUAL, True)
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    state = _change(tmp_path).state(_change(tmp_path).probe(), DESIRED)
    assert (state.status, "is a link" in state.detail) == (Status.MANUAL, True)
    assert not _change(tmp_path).apply_plan(_change(tmp_path).probe(), DESIRED)


def test_a_directory_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/quiet.d").write_text("a file")
    state = _change(tmp_path).state(_change(tmp_path).probe(), DESIRED)
    assert (state.status, "cannot be read" in state.detail) == (Status.MANUAL, True)


def test_a_read_only_system_is_reported(tmp_path: Path) -> None:
    drop_in = _change(tmp_path)
    assert drop_in.state(DropInFacts(read_only=True), DESIRED).status is Status.READ_ONLY
    there = DropInFacts(ours={"devtls.conf": HEAD + b"x\n"}, read_only=True)
    assert drop_in.state(there, DESIRED).status is Status.APPLIED


def test_a_way_that_the_machine_does_not_go_says_why(tmp_path: Path, directory: Path) -> None:
    drop_in = _change(tmp_path, obstacle="it does not run")
    state = drop_in.state(drop_in.probe(), DESIRED)
    assert (state.status, state.detail, state.remedy) == (Status.NO_TOOL, "it does not run", "")
    (directory / "devtls.conf").write_bytes(HEAD + b"x\n")
    facts = drop_in.probe()
    assert "devtls unsetup names" in drop_in.state(facts, DESIRED).remedy
    assert not drop_in.apply_plan(facts, DESIRED)
    assert drop_in.revert_plan(facts, {})


@pytest.mark.parametrize(
    ("trouble", "status"), [(StepFailure.READ_ONLY, Status.READ_ONLY), (StepFailure.FAILED, Status.FAILED)]
)
def test_each_trouble_has_a_state_and_a_remedy(tmp_path: Path, trouble: StepFailure, status: Status) -> None:
    drop_in = DropIn(DELEGATE, tmp_path)
    plan = drop_in.apply_plan(DropInFacts(), DESIRED)
    state = drop_in.read_failure(DropInFacts(), Outcome(plan.steps[0], trouble, "why"))
    assert (state.status, state.detail) == (status, "why")
    state = drop_in.read_failure(DropInFacts(), Outcome(plan.steps[-1], StepFailure.FAILED, "Job failed"))
    assert (state.status, "the resolver was not told: Job failed" in state.detail) == (Status.FAILED, True)
    assert "try-reload-or-restart systemd-resolved" in state.remedy


@pytest.mark.parametrize("recipe", [DELEGATE, DROP_IN, NETWORK_MANAGER, DNSMASQ, RESOLVER])
def test_the_files_and_commands_are_the_ones_of_the_manuals(recipe: Recipe) -> None:
    drop_in = DropIn(recipe, Path("/"))
    planned = drop_in.apply_plan(DropInFacts(is_there=False), DESIRED)
    written = {Path(name).name: content for name, content in drop_in._wanted(DESIRED).items()}
    removal = drop_in.revert_plan(DropInFacts(ours=written), {"folder": "absent"})
    check_section(f"names:{recipe.method}", (planned, removal), {})
    assert drop_in.purpose.endswith(".")


@pytest.mark.parametrize("recipe", [DELEGATE, DROP_IN])
def test_resolved_gets_routing_domains_alone(recipe: Recipe) -> None:
    (content,) = recipe.files(make_desired(dns_port=5300)).values()
    assert content.endswith("DNS=127.0.0.1:5300\nDomains=~dev.local ~test\n")


def test_a_resolver_that_fails_to_read_the_file_ends_the_plan(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho no >&2; exit 3\n")
    tool.chmod(0o755)
    told = replace(QUIET, refresh=((str(tool),),))
    (tmp_path / "etc").mkdir()
    drop_in = _change(tmp_path, told)
    outcome = execute(drop_in.apply_plan(drop_in.probe(), DESIRED), AS_ROOT)
    assert (outcome.done, outcome.detail) == (False, "no")
    assert drop_in.state(drop_in.probe(), DESIRED).status is Status.APPLIED
