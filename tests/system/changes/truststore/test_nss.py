from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devtls.system.changes.change import Kind, Status
from devtls.system.changes.truststore.nss import NssPlace, NssStore
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import render_plan
from tests.system.as_root import AS_ROOT

RUNNER = AS_ROOT
PACKAGE = "sudo apt install libnss3-tools"


@pytest.fixture
def certutil() -> Path:
    found = shutil.which("certutil")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("certutil is missing: apt install libnss3-tools")
        pytest.skip("certutil is missing: apt install libnss3-tools")
    return Path(found)


@pytest.fixture
def directory(machine: Machine) -> Path:
    return machine.home / ".local" / "share" / "pki" / "nssdb"


def _store(directory: Path, certutil: Path | None, *, timeout_s: float = 10.0) -> NssStore:
    return NssStore(NssPlace(directory, "Chromium", "~/db"), certutil, RUNNER, package=PACKAGE, timeout_s=timeout_s)


def _fake(directory: Path, script: str) -> Path:
    """Return a certutil of our own, beside a directory that looks like a database."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cert9.db").touch()
    tool = directory.parent / "certutil"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return tool


def _add(certutil: Path, directory: Path, root: RootCertificate, nickname: str, flags: str) -> None:
    argv = [str(certutil), "-A", "-d", f"sql:{directory}", "-t", flags, "-n", nickname, "-i", str(root.path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def test_a_database_is_made_trusted_and_emptied_again(certutil: Path, directory: Path, root: RootCertificate) -> None:
    store = _store(directory, certutil)
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).detail == "the database will be made"
    assert execute(store.apply_plan(facts, root), RUNNER).done
    assert directory.stat().st_mode & 0o777 == 0o700
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.APPLIED
    assert [found.fingerprint for found in facts.roots] == [root.fingerprint]
    assert not store.apply_plan(facts, root)
    assert execute(store.revert_plan(facts, {root.fingerprint}), RUNNER).done
    assert store.probe().entries == ()


def test_the_other_entries_of_a_database_stay_as_they_were(
    certutil: Path, directory: Path, root: RootCertificate, older_root: RootCertificate
) -> None:
    store = _store(directory, certutil)
    assert execute(store.apply_plan(store.probe(), older_root), RUNNER).done
    before = store.probe().entries
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    assert len(store.probe().entries) == 2
    assert execute(store.revert_plan(store.probe(), {root.fingerprint}), RUNNER).done
    assert store.probe().entries == before


def test_a_root_under_another_nickname_is_found_by_its_bytes(
    certutil: Path, directory: Path, root: RootCertificate
) -> None:
    store = _store(directory, certutil)
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    assert execute(store.revert_plan(store.probe(), {root.fingerprint}), RUNNER).done
    _add(certutil, directory, root, "odd,  name, C,,", "C,,")
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.APPLIED
    assert execute(store.revert_plan(facts, {root.fingerprint}), RUNNER).done
    assert store.probe().entries == ()


def test_a_root_without_trust_for_sites_is_fixed(certutil: Path, directory: Path, root: RootCertificate) -> None:
    directory.mkdir(parents=True)
    subprocess.run([certutil, "-N", "--empty-password", "-d", f"sql:{directory}"], check=True)
    _add(certutil, directory, root, "devtls", ",,")
    store = _store(directory, certutil)
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, "without trust" in state.detail) == (Status.ABSENT, True)
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED


def test_a_database_with_a_password_is_locked_and_nobody_is_asked(
    certutil: Path, directory: Path, root: RootCertificate
) -> None:
    directory.mkdir(parents=True)
    password = directory.parent / "password"
    password.write_text("hunter2\n")
    subprocess.run([certutil, "-N", "-f", password, "-d", f"sql:{directory}"], check=True)
    store = _store(directory, certutil)
    outcome = execute(store.apply_plan(store.probe(), root), RUNNER)
    assert not outcome.done
    state = store.read_failure(store.probe(), outcome)
    assert (state.status, "password" in state.remedy) == (Status.LOCKED, True)


def test_a_damaged_database_is_reported(certutil: Path, directory: Path, root: RootCertificate) -> None:
    directory.mkdir(parents=True)
    (directory / "cert9.db").write_text("no database")
    store = _store(directory, certutil)
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, "Move the directory away" in state.remedy) == (Status.FAILED, True)
    assert not store.apply_plan(store.probe(), root)


def test_the_commands_are_the_ones_of_the_manual(directory: Path, root: RootCertificate) -> None:
    store = _store(directory, Path("/usr/bin/certutil"))
    lines = render_plan(store.apply_plan(store.probe(), root), None)
    assert lines == (
        f"/bin/mkdir -p -m 0700 -- {directory}",
        f"/usr/bin/certutil -N -d sql:{directory} --empty-password",
        f"/usr/bin/certutil -A -d sql:{directory} -t C,, -n 'devtls root {root.id}' -i {root.path}",
    )
    assert (store.name, store.label, store.kind) == ("nss:~/db", "Chromium (~/db)", Kind.BROWSER)


def test_without_certutil_the_package_is_named(directory: Path, root: RootCertificate) -> None:
    store = _store(directory, None)
    facts = store.probe()
    state = store.trust_state(facts, root.fingerprint)
    assert (state.status, state.remedy) == (Status.NO_TOOL, f"{PACKAGE}, then devtls trust")
    assert not store.apply_plan(facts, root)
    assert not store.revert_plan(facts, {root.fingerprint})
    assert str(root.path) in store.explain(facts, root)


def test_without_certutil_a_root_can_still_be_seen(
    certutil: Path, directory: Path, root: RootCertificate, older_root: RootCertificate
) -> None:
    store = _store(directory, certutil)
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    before = (directory / "cert9.db").read_bytes()
    blind = _store(directory, None)
    facts = blind.probe()
    assert [found.fingerprint for found in facts.roots] == [root.fingerprint]
    assert blind.trust_state(facts, root.fingerprint).detail.startswith("it holds the root, ")
    assert "holds" not in blind.trust_state(facts, older_root.fingerprint).detail
    assert not blind.revert_plan(facts, {root.fingerprint})
    assert (directory / "cert9.db").read_bytes() == before
    (directory / "cert9.db").write_text("no database")
    assert blind.probe().roots == ()


def test_a_certificate_that_a_locked_database_took_is_taken_out_again(
    certutil: Path, directory: Path, root: RootCertificate
) -> None:
    directory.mkdir(parents=True)
    password = directory.parent / "password"
    password.write_text("hunter2\n")
    subprocess.run([certutil, "-N", "-f", password, "-d", f"sql:{directory}"], check=True)
    store = _store(directory, certutil)
    before = store.probe()
    assert not execute(store.apply_plan(before, root), RUNNER).done
    assert len(store.probe().entries) == 1
    assert execute(store.undo_plan(before, store.probe(), {root.fingerprint}), RUNNER).done
    assert store.probe().entries == ()


def test_a_certutil_that_hangs_is_given_up(directory: Path, root: RootCertificate) -> None:
    store = _store(directory, _fake(directory, "sleep 60"), timeout_s=0.15)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.HANGING


def test_a_certutil_that_hangs_at_the_second_question_is_given_up(directory: Path, root: RootCertificate) -> None:
    script = 'case "$*" in *-n*) sleep 60;; *) echo "devtls root 12345678    C,,";; esac'
    store = _store(directory, _fake(directory, script), timeout_s=0.15)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.HANGING


def test_a_certutil_that_vanishes_is_reported(directory: Path, root: RootCertificate) -> None:
    _fake(directory, "")
    store = _store(directory, directory.parent / "gone")
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.NO_TOOL


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("function failed: SEC_ERROR_READ_ONLY: security library: read-only database.", Status.READ_ONLY),
        ("SEC_ERROR_BAD_PASSWORD: The security password entered is incorrect.", Status.LOCKED),
        ("something else", Status.FAILED),
    ],
)
def test_what_certutil_says_becomes_a_state(directory: Path, root: RootCertificate, said: str, status: Status) -> None:
    store = _store(
        directory, _fake(directory, f'case "$2" in *) [ "$1" = -L ] || {{ echo "{said}" >&2; exit 255; }};; esac')
    )
    outcome = execute(store.apply_plan(store.probe(), root), RUNNER)
    state = store.read_failure(store.probe(), outcome)
    assert state.status is status
    assert state.remedy


def test_a_directory_that_may_not_be_made_is_read_only(directory: Path) -> None:
    store = _store(directory, Path("/usr/bin/certutil"))
    state = store.read_failure(store.probe(), Outcome(None, StepFailure.NOT_PERMITTED, "denied"))
    assert (state.status, "chown" in state.remedy) == (Status.READ_ONLY, True)
