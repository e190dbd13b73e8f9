from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devtls.system.changes.change import Kind, Status
from devtls.system.changes.engine import Executor, apply, revert
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore import java
from devtls.system.changes.truststore.java import Feeder, JavaStore, alias_of
from devtls.system.changes.truststore.java_homes import JavaPlace, find_java
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.changes.truststore.store import propose_trust, propose_untrust
from devtls.system.machine.execute import Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Elevation, Plan, render_plan
from tests.conftest import RequireTool
from tests.system.as_root import AS_ROOT
from tests.system.changes.truststore.golden_plans import check_section
from tests.system.changes.truststore.keytool import HOW_TO_INSTALL, aliases, keytool, make_jdk, put_keytool

RUNNER = AS_ROOT
SUDO = Elevation("sudo", ("/usr/bin/sudo",))
WRITES_JUNK = "echo 'keytool error: java.io.IOException: No space left' ; exit 1"


@pytest.fixture
def tool(require_tool: RequireTool) -> str:
    return require_tool("keytool", HOW_TO_INSTALL)


@pytest.fixture
def jdk(machine: Machine, tool: str, older_root: RootCertificate) -> Path:
    return make_jdk(machine.home / ".jdks/one", tool, Path(older_root.path))


def _store(machine: Machine, *, timeout_s: float = 60.0) -> JavaStore:
    (place,) = find_java(machine, RUNNER)
    return JavaStore(place, machine, timeout_s=timeout_s)


def _cacerts(home: Path) -> Path:
    return home / "lib/security/cacerts"


@pytest.mark.parametrize("kind", ["JKS", "PKCS12"])
def test_a_keystore_gets_the_root_and_loses_it_again_with_all_others_as_before(
    machine: Machine, tool: str, root: RootCertificate, older_root: RootCertificate, kind: str
) -> None:
    cacerts = _cacerts(make_jdk(machine.home / ".jdks/one", tool, Path(older_root.path), kind=kind))
    before = aliases(tool, cacerts)
    store = _store(machine)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.APPLIED
    assert aliases(tool, cacerts) == {**before, alias_of(root): root.fingerprint}
    assert not store.apply_plan(facts, root)
    assert {found.fingerprint for found in facts.roots} == {root.fingerprint, older_root.fingerprint}
    assert execute(store.revert_plan(facts, {root.fingerprint}), RUNNER).done
    assert aliases(tool, cacerts) == before
    assert not store.revert_plan(store.probe(), {root.fingerprint})


def test_the_machines_own_list_of_roots_comes_back_as_it_was(
    machine: Machine, tool: str, root: RootCertificate
) -> None:
    real = Path("/etc/ssl/certs/java/cacerts")
    if not real.is_file():
        pytest.skip("this machine has no keystore of Debian's: sudo apt-get install ca-certificates-java")
    cacerts = _cacerts(machine.home / ".jdks/debian")
    cacerts.parent.mkdir(parents=True)
    shutil.copy(real, cacerts)
    before = aliases(tool, cacerts)
    put_keytool(machine.home / ".jdks/debian", tool)
    store = _store(machine)
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    assert len(aliases(tool, cacerts)) == len(before) + 1
    assert execute(store.revert_plan(store.probe(), {root.fingerprint}), RUNNER).done
    assert aliases(tool, cacerts) == before


def test_a_root_under_an_alias_of_somebody_elses_choice_is_found_by_its_bytes(
    machine: Machine, jdk: Path, tool: str, root: RootCertificate
) -> None:
    argv = ("-importcert", "-noprompt", "-alias", "by hand, once", "-file", str(root.path))
    keytool(tool, *argv, store=_cacerts(jdk))
    store = _store(machine)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED
    assert execute(store.revert_plan(store.probe(), {root.fingerprint}), RUNNER).done
    assert "by hand, once" not in aliases(tool, _cacerts(jdk))


def test_the_commands_are_the_ones_of_the_manual(machine: Machine, jdk: Path, root: RootCertificate) -> None:
    store = _store(machine)
    (line,) = render_plan(store.apply_plan(store.probe(), root), SUDO)
    where = f"-keystore {_cacerts(jdk)} -storepass changeit"
    assert line == (
        f"{jdk}/bin/keytool -importcert -noprompt -alias devtls-{root.fingerprint[:16]} {where} <{root.path}"
    )
    assert (store.name, store.label, store.kind) == (
        "java:~/.jdks/one/lib/security/cacerts",
        "Java 21 (~/.jdks/one)",
        Kind.RUNTIME,
    )
    unmade = RootCertificate("ID", b"", root.path)
    assert "-alias devtls-ID " in render_plan(store.apply_plan(store.probe(), unmade), SUDO)[0]


def test_several_jdks_on_one_file_are_named_with_their_versions(machine: Machine, tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("a", "b", "c")]
    for home, version in zip(homes, ("17.0.1", "21", "17.0.2"), strict=True):
        home.mkdir()
        (home / "release").write_text(f'JAVA_VERSION="{version}"\n')
    store = JavaStore(JavaPlace(Path("/etc/ssl/certs/java/cacerts"), tuple(homes)), machine)
    assert store.label == "Java 17 and 21 (/etc/ssl/certs/java/cacerts)"
    assert JavaStore(JavaPlace(tmp_path / "x", (tmp_path,)), machine).label == f"Java ({tmp_path})"


class Unprivileged:
    """`os.access` of somebody who may read everything and write nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))


def test_only_a_file_that_is_not_ours_is_changed_by_an_administrator(
    machine: Machine, installed: Path, root: RootCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    Unprivileged(monkeypatch)
    store = _store(machine)
    plan = store.apply_plan(store.probe(), root)
    assert plan.elevated
    assert render_plan(plan, SUDO)[0].startswith(f"/usr/bin/sudo {installed}/bin/keytool ")


@pytest.fixture
def installed(machine: Machine, tool: str, older_root: RootCertificate) -> Path:
    """A JDK where the system has its own."""
    return make_jdk(machine.root / "usr/lib/jvm/java-21", tool, Path(older_root.path))


def _open_to_others(path: Path) -> None:
    path.chmod(0o777)


def _lead_elsewhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("/usr/bin/env")


@pytest.mark.parametrize(
    "spoil",
    [
        ("bin/keytool", _open_to_others),
        ("bin", _open_to_others),
        (".", _open_to_others),
        ("lib", _open_to_others),
        ("bin/keytool", _lead_elsewhere),
    ],
)
def test_a_keytool_that_somebody_could_swap_or_that_is_another_program_is_never_elevated(
    machine: Machine, installed: Path, root: RootCertificate, monkeypatch: pytest.MonkeyPatch,
    spoil: tuple[str, Callable[[Path], None]],
) -> None:  # fmt: skip
    spoiled, spoiling = spoil
    Unprivileged(monkeypatch)
    spoiling(installed / spoiled)
    store = _store(machine)
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, state.remedy) == (Status.SKIPPED, "devtls env gives Java programs the root without it.")
    assert f"as root: {installed / spoiled} can be written" in state.detail or "another program" in state.detail
    assert not store.apply_plan(store.probe(), root)


def test_the_systems_keytool_takes_the_place_of_one_that_is_not_roots(
    machine: Machine, installed: Path, root: RootCertificate, make_tool: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    Unprivileged(monkeypatch)
    _lead_elsewhere(installed / "bin/keytool")
    system, store = make_tool("usr/bin/keytool", ""), _store(machine)
    (line,) = render_plan(store.apply_plan(store.probe(), root), SUDO)
    assert line.startswith(f"/usr/bin/sudo {system} ")


def test_a_keystore_of_roots_in_a_directory_of_somebody_elses_is_left_alone(
    machine: Machine, jdk: Path, root: RootCertificate, make_tool: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    Unprivileged(monkeypatch)
    make_tool("usr/bin/keytool", "")
    store = _store(machine)  # in a home directory below /tmp, where everybody may make files
    state = store.trust_state(store.probe(), root.fingerprint)
    assert state.status is Status.SKIPPED
    assert "cacerts is left alone as root: " in state.detail
    assert not store.apply_plan(store.probe(), root)


def test_root_itself_runs_no_keytool_of_a_directory_that_others_may_write(
    machine: Machine, jdk: Path, root: RootCertificate
) -> None:
    assert _store(machine).apply_plan(_store(machine).probe(), root)
    store = _store(dataclasses.replace(machine, is_root=True))
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.SKIPPED
    assert not store.apply_plan(store.probe(), root)


def test_a_keystore_with_a_password_of_its_own_is_locked_and_untouched(
    machine: Machine, jdk: Path, tool: str, root: RootCertificate
) -> None:
    keytool(tool, "-storepasswd", "-new", "of my own", store=_cacerts(jdk))
    before = _cacerts(jdk).read_bytes()
    store = _store(machine)
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.LOCKED
    assert not store.apply_plan(facts, root)
    assert not store.revert_plan(facts, {root.fingerprint})
    by_hand = store.explain(facts, root)
    assert by_hand.startswith(f"{jdk}/bin/keytool -importcert")
    assert "changeit" not in by_hand
    assert _cacerts(jdk).read_bytes() == before
    argv = by_hand.partition("  #")[0].split()
    subprocess.run(argv, check=True, input=b"of my own\n", capture_output=True)
    assert alias_of(root) in aliases(tool, _cacerts(jdk), "of my own")


def test_a_file_that_is_no_keystore_is_reported(machine: Machine, jdk: Path, root: RootCertificate) -> None:
    _cacerts(jdk).write_bytes(b"no keystore")
    store = _store(machine)
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, "is no Java keystore" in state.detail) == (Status.FAILED, True)
    assert store.explain(store.probe(), root) == ""


def test_a_broken_java_home_says_what_to_correct(machine: Machine, root: RootCertificate, tmp_path: Path) -> None:
    store = _store(dataclasses.replace(machine, environ={"JAVA_HOME": str(tmp_path / "gone")}))
    facts = store.probe()
    state = store.trust_state(facts, root.fingerprint)
    assert state.status is Status.FAILED
    assert state.detail == f"JAVA_HOME is {tmp_path / 'gone'}, which is not there"
    assert "JAVA_HOME" in state.remedy
    assert not store.apply_plan(facts, root)
    assert store.label == f"Java ({tmp_path / 'gone'})"


def test_a_jdk_that_goes_while_it_is_looked_at_is_reported(machine: Machine, jdk: Path, root: RootCertificate) -> None:
    store = _store(machine)
    shutil.rmtree(jdk)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.FAILED


def _replace_keytool(jdk: Path, script: str) -> None:
    (jdk / "bin/keytool").unlink()
    (jdk / "bin/keytool").write_text(f"#!/bin/sh\n{script}\n")
    (jdk / "bin/keytool").chmod(0o755)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exec sleep 60", Status.HANGING),
        (WRITES_JUNK, Status.FAILED),
        ("echo 'x: Read-only file system'; exit 1", Status.READ_ONLY),
    ],
)
def test_what_keytool_does_instead_of_its_work_is_reported_and_nothing_is_half_written(
    machine: Machine, jdk: Path, root: RootCertificate, script: str, status: Status
) -> None:
    _replace_keytool(jdk, script)
    before = _cacerts(jdk).read_bytes()
    store = _store(machine, timeout_s=0.15)
    outcome = execute(store.apply_plan(store.probe(), root), RUNNER)
    state = store.read_failure(store.probe(), outcome)
    assert state.status is status
    assert state.remedy
    assert _cacerts(jdk).read_bytes() == before


def test_a_jvms_remark_on_its_variable_is_not_its_last_word(machine: Machine, jdk: Path, root: RootCertificate) -> None:
    _replace_keytool(jdk, f"echo Picked up JAVA_TOOL_OPTIONS: -Dx >&2; {WRITES_JUNK}")
    store = _store(machine)
    outcome = execute(store.apply_plan(store.probe(), root), RUNNER)
    assert outcome.detail == "keytool error: java.io.IOException: No space left"


def test_a_keytool_that_vanishes_is_reported(machine: Machine, jdk: Path) -> None:
    store = _store(machine)
    assert store.read_failure(store.probe(), Outcome(None, StepFailure.NO_TOOL, "why")).status is Status.NO_TOOL


def test_without_any_keytool_nothing_is_planned(machine: Machine, jdk: Path, root: RootCertificate) -> None:
    (jdk / "bin/keytool").unlink()
    store = _store(machine)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.NO_TOOL
    assert not store.apply_plan(store.probe(), root)


def test_a_keystore_that_has_been_put_aside_only_loses_roots(
    machine: Machine, jdk: Path, tool: str, root: RootCertificate, older_root: RootCertificate
) -> None:
    shutil.copy(_cacerts(jdk), jdk / "lib/security/jssecacerts")
    used, aside = (JavaStore(place, machine) for place in find_java(machine, RUNNER))
    assert used.name.endswith("jssecacerts")
    assert not aside.apply_plan(aside.probe(), root)
    assert "jssecacerts" in aside.trust_state(aside.probe(), root.fingerprint).detail
    assert execute(aside.revert_plan(aside.probe(), {older_root.fingerprint}), RUNNER).done
    assert aliases(tool, _cacerts(jdk)) == {}
    assert len(find_java(machine, RUNNER)) == 1


def test_the_plans_of_an_administrator_are_the_golden_ones(
    machine: Machine, tool: str, root: RootCertificate, older_root: RootCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_jdk(machine.root / "usr/lib/jvm/java-21", tool, Path(older_root.path))
    store = _store(machine)
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    Unprivileged(monkeypatch)
    held = store.probe()
    plans = (
        store.apply_plan(dataclasses.replace(held, entries=()), root),
        store.revert_plan(held, {root.fingerprint}),
    )
    names = {str(root.path): "ROOT.pem", root.fingerprint[:16]: "ROOT", str(machine.root): ""}
    check_section("Java, of an administrator", plans, names)


class Fed:
    """A keystore that a hook of the system fills from an anchor directory, as Debian's does."""

    def __init__(self, machine: Machine, jdk: Path) -> None:
        self.anchors = machine.root / "usr/local/share/ca-certificates"
        self.anchors.mkdir(parents=True)
        self.cacerts = _cacerts(jdk)
        (place,) = find_java(machine, RUNNER)
        self.store = JavaStore(place, machine, feeder=Feeder(self.cacerts, self.anchors))


def test_a_keystore_that_the_system_writes_follows_it(
    machine: Machine, jdk: Path, tool: str, root: RootCertificate, tmp_path: Path
) -> None:
    fed, record = Fed(machine, jdk), ChangeRecord(tmp_path / "state")
    (proposal,) = propose_trust([fed.store], root)
    assert not proposal.plan
    assert proposal.state.detail == "it follows the system store"
    assert apply(proposal, Executor(RUNNER, None, record)).state.status is Status.ABSENT
    alias = f"debian:devtls-{root.id}.pem"
    keytool(tool, "-importcert", "-noprompt", "-alias", alias, "-file", str(root.path), store=fed.cacerts)
    result = apply(proposal, Executor(RUNNER, None, record))
    assert (result.state.status, result.changed) == (Status.APPLIED, True)
    assert [entry.store for entry in record.installed()] == [fed.store.name]

    (fed.anchors / f"devtls-{root.id}.crt").write_bytes(root.pem)
    (removal,) = propose_untrust([fed.store], {root.fingerprint}, every_root=False)
    assert not removal.plan
    keytool(tool, "-delete", "-alias", alias, store=fed.cacerts)
    result = revert(removal, Executor(RUNNER, None, record))
    assert (result.state.status, result.changed) == (Status.ABSENT, True)
    assert record.installed() == ()


def test_what_the_hook_left_of_an_anchor_that_is_gone_is_deleted_here(
    machine: Machine, jdk: Path, tool: str, root: RootCertificate
) -> None:
    fed = Fed(machine, jdk)
    alias = f"debian:devtls-{root.id}.pem"
    keytool(tool, "-importcert", "-noprompt", "-alias", alias, "-file", str(root.path), store=fed.cacerts)
    assert execute(fed.store.revert_plan(fed.store.probe(), {root.fingerprint}), RUNNER).done
    assert alias not in aliases(tool, fed.cacerts)


def test_keytool_may_take_its_time(machine: Machine, jdk: Path, root: RootCertificate) -> None:
    plan: Plan = _store(machine).apply_plan(_store(machine).probe(), root)
    assert plan.steps[0].timeout_s == java.KEYTOOL_S  # type: ignore[union-attr]  # a Run
