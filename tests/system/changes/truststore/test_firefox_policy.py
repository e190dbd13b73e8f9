from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtls.system.changes.change import Kind, Status
from devtls.system.changes.truststore.firefox_policy import FirefoxPolicyStore
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Elevation, render_plan
from tests.system.as_root import AS_ROOT
from tests.system.changes.truststore.golden_plans import check_section

RUNNER = AS_ROOT
SUDO = Elevation("sudo", ("/usr/bin/sudo",))
CORPORATE = '{\n  "policies": {\n    "DisableTelemetry": true\n  }\n}\n'


@pytest.fixture
def directory(machine: Machine) -> Path:
    return machine.root / "etc/firefox/policies"


@pytest.fixture
def store(machine: Machine) -> FirefoxPolicyStore:
    return FirefoxPolicyStore(machine)


def _write(directory: Path, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "policies.json").write_text(text)
    return directory / "policies.json"


def _install(store: FirefoxPolicyStore, root: RootCertificate) -> None:
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED


def _remove(store: FirefoxPolicyStore, *roots: RootCertificate) -> None:
    assert execute(store.revert_plan(store.probe(), {root.fingerprint for root in roots}), RUNNER).done


def test_where_there_was_no_policy_there_is_none_afterwards(
    machine: Machine, store: FirefoxPolicyStore, directory: Path, root: RootCertificate
) -> None:
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT
    _install(store, root)
    values = json.loads((directory / "policies.json").read_text())
    assert values == {"policies": {"Certificates": {"Install": [str(directory / f"devtls-{root.id}.pem")]}}}
    assert (directory / f"devtls-{root.id}.pem").stat().st_mode & 0o777 == 0o644
    assert not store.apply_plan(store.probe(), root)
    assert [found.fingerprint for found in store.probe().roots] == [root.fingerprint]
    _remove(store, root)
    assert list((machine.root / "etc").iterdir()) == []
    assert not store.revert_plan(store.probe(), {root.fingerprint})


def test_an_administrators_policy_is_merged_into_and_comes_back_to_the_byte(
    store: FirefoxPolicyStore, directory: Path, root: RootCertificate, older_root: RootCertificate
) -> None:
    policies = _write(directory, CORPORATE)
    policies.chmod(0o640)
    _install(store, older_root)
    _install(store, root)
    assert json.loads(policies.read_text())["policies"]["DisableTelemetry"] is True
    assert policies.stat().st_mode & 0o777 == 0o640
    _remove(store, older_root)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED
    _remove(store, root)
    assert policies.read_text() == CORPORATE
    assert [path.name for path in directory.iterdir()] == ["policies.json"]


def test_a_root_that_somebody_named_by_another_file_is_found_by_its_bytes(
    store: FirefoxPolicyStore, directory: Path, root: RootCertificate
) -> None:
    text = json.dumps({"policies": {"Certificates": {"Install": ["corp.pem", str(root.path)]}}})
    policies = _write(directory, text)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED
    _remove(store, root)
    assert json.loads(policies.read_text())["policies"]["Certificates"]["Install"] == ["corp.pem"]
    assert Path(root.path).exists()


def test_a_line_whose_file_is_gone_is_fixed(store: FirefoxPolicyStore, directory: Path, root: RootCertificate) -> None:
    _install(store, root)
    before = (directory / "policies.json").read_text()
    (directory / f"devtls-{root.id}.pem").unlink()
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT
    _install(store, root)
    assert (directory / "policies.json").read_text() == before


def test_a_file_without_its_line_is_taken_away_too(
    machine: Machine, store: FirefoxPolicyStore, directory: Path, root: RootCertificate
) -> None:
    policies = _write(directory, CORPORATE)
    (directory / f"devtls-{root.id}.pem").write_bytes(root.pem)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT
    _remove(store, root)
    assert [path.name for path in directory.iterdir()] == ["policies.json"]
    assert policies.read_text() == CORPORATE


def test_a_line_of_ours_that_names_nothing_goes_with_the_next_removal(
    store: FirefoxPolicyStore, directory: Path, root: RootCertificate, older_root: RootCertificate
) -> None:
    _install(store, older_root)
    _install(store, root)
    (directory / f"devtls-{older_root.id}.pem").unlink()
    _remove(store, root)
    assert not directory.exists()


@pytest.mark.parametrize("text", ["{", "", '{"policies": []}', "\udcff"])
def test_a_policy_that_cannot_be_merged_into_is_left_alone(
    store: FirefoxPolicyStore, directory: Path, root: RootCertificate, text: str
) -> None:
    policies = _write(directory, "")
    policies.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = policies.read_bytes()
    facts = store.probe()
    state = store.trust_state(facts, root.fingerprint)
    assert (state.status, state.remedy) == (Status.MANUAL, "Fix the file, then devtls trust.")
    assert str(root.path) in store.explain(facts, root)
    assert not store.apply_plan(facts, root)
    assert not store.revert_plan(facts, {root.fingerprint})
    assert policies.read_bytes() == before


def test_a_write_that_fails_leaves_the_old_policy(
    machine: Machine, store: FirefoxPolicyStore, directory: Path, root: RootCertificate
) -> None:
    policies = _write(directory, CORPORATE)
    (directory / "policies.json.devtls").mkdir()
    outcome = execute(store.apply_plan(store.probe(), root), RUNNER)
    assert not outcome.done
    assert store.read_failure(store.probe(), outcome).status is Status.FAILED
    assert policies.read_text() == CORPORATE


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (StepFailure.TIMED_OUT, Status.HANGING),
        (StepFailure.READ_ONLY, Status.READ_ONLY),
        (StepFailure.FAILED, Status.FAILED),
    ],
)
def test_each_trouble_has_its_own_state_and_a_remedy(
    store: FirefoxPolicyStore, trouble: StepFailure, status: Status
) -> None:
    state = store.read_failure(store.probe(), Outcome(None, trouble, "why"))
    assert (state.status, state.detail) == (status, "why")
    assert state.remedy


def test_the_plans_are_the_golden_ones(machine: Machine, store: FirefoxPolicyStore, root: RootCertificate) -> None:
    installing = store.apply_plan(store.probe(), root)
    _install(store, root)
    removing = store.revert_plan(store.probe(), {root.fingerprint})
    names = {str(root.path): "ROOT.pem", str(machine.root): "", root.id: "1a2b3c4d"}
    check_section("Firefox's policy", (installing, removing), names)


def test_what_a_failure_left_behind_is_taken_away(
    store: FirefoxPolicyStore, directory: Path, root: RootCertificate
) -> None:
    policies = _write(directory, CORPORATE)
    before = store.probe()
    new = store._new_path()
    (directory / f"devtls-{root.id}.pem").write_bytes(root.pem)
    new.write_text("{")
    assert execute(store.undo_plan(before, store.probe(), {root.fingerprint}), RUNNER).done
    assert list(directory.iterdir()) == [policies]


def test_every_command_is_shown_and_elevated(
    machine: Machine, store: FirefoxPolicyStore, directory: Path, root: RootCertificate
) -> None:
    lines = render_plan(store.apply_plan(store.probe(), root), SUDO)
    assert all(line.startswith("/usr/bin/sudo /") for line in lines)
    assert lines[-1] == f"/usr/bin/sudo /bin/mv -f -- {directory}/policies.json.devtls {directory}/policies.json"
    assert (store.name, store.kind) == ("firefox-policy", Kind.BROWSER)
    assert store.label == f"Firefox, every profile ({directory}/policies.json)"
    assert store.explain(store.probe(), root) == ""
