"""What --fix does on a redirected machine: each kind once, shown before, and asked again after."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.doctor.health import fixes
from devtls.doctor.health.authority import probe_ca
from devtls.doctor.health.diagnosis import Diagnosis, DoctorEnvironment, diagnose
from devtls.doctor.health.fixes import apply_fix, is_fixed, proposed_fixes
from devtls.names import DEFAULT_ZONES
from devtls.system.changes.change import Status
from devtls.system.changes.clientenv.files import write_files
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.engine import Executor, Result
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.plan import render_plan
from devtls.system.storage.keystore import Keystore
from tests.system.changes.truststore.foreign_roots import make_foreign_root

DATABASE = ".local/share/pki/nssdb"


def diagnosed(environment: DoctorEnvironment) -> Diagnosis:
    return diagnose(environment, datetime.now(UTC))


def ids(environment: DoctorEnvironment) -> set[str]:
    return {finding.id for finding in diagnosed(environment).findings}


def fix_all(environment: DoctorEnvironment) -> list[Result]:
    executor = Executor(environment.runner, None, ChangeRecord(environment.paths.state_dir))
    return [apply_fix(each, executor) for each in proposed_fixes(diagnosed(environment))]


def root_of(environment: DoctorEnvironment) -> RootCertificate:
    root = probe_ca(environment.paths.state_dir, datetime.now(UTC)).root
    assert root is not None
    return root


def certutil(environment: DoctorEnvironment, script: str) -> None:
    tool = environment.machine.root / "usr/bin/certutil"
    tool.write_text(f"#!/bin/sh\n{script}")


def test_the_root_is_put_into_the_users_own_stores(environment: DoctorEnvironment, keystore: Keystore) -> None:
    (proposed,) = proposed_fixes(diagnosed(environment))
    assert proposed.change.label.endswith(f"(~/{DATABASE})")
    assert any("certutil -A" in command for command in render_plan(proposed.plan, None))
    (result,) = fix_all(environment)
    assert (is_fixed(proposed, result), result.changed, result.name) == (True, True, proposed.change.name)
    assert "untrusted" not in ids(environment)
    assert fix_all(environment) == []


def test_a_root_of_an_earlier_ca_is_taken_out(environment: DoctorEnvironment, keystore: Keystore) -> None:
    fix_all(environment)
    keystore.create(DEFAULT_ZONES, datetime.now(UTC))
    assert {"root-stale", "untrusted"} <= ids(environment)
    assert [each.changed for each in fix_all(environment)] == [True, True, True]
    assert len(list((environment.machine.home / DATABASE).glob("*.pem"))) == 1
    assert not {"root-stale", "untrusted"} & ids(environment)


def test_files_that_others_can_read_are_closed(environment: DoctorEnvironment, keystore: Keystore, state: Path) -> None:
    fix_all(environment)
    key = next(state.glob("ca-*/intermediate.key"))
    key.chmod(0o644)
    state.chmod(0o750)
    (proposed,) = proposed_fixes(diagnosed(environment))
    assert render_plan(proposed.plan, None) == (f"/bin/chmod go= -- {state}", f"/bin/chmod go= -- {key}")
    assert [each.is_applied for each in fix_all(environment)] == [True]
    assert (stat.S_IMODE(key.stat().st_mode), stat.S_IMODE(state.stat().st_mode)) == (0o600, 0o700)
    assert "ca-fine" in ids(environment)


def test_files_of_devtls_env_are_made_anew(environment: DoctorEnvironment, keystore: Keystore, state: Path) -> None:
    bundle = environment.machine.root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(make_foreign_root("mkcert a", "mkcert development CA"))
    root = root_of(environment)
    write_files(state, plan_environment(probe(state, root, {}, environment.machine.root)).files)
    fix_all(environment)
    keystore.create(DEFAULT_ZONES, datetime.now(UTC))
    assert "env-outdated" in ids(environment)
    assert all(each.changed for each in fix_all(environment))
    assert "env-outdated" not in ids(environment)
    assert root_of(environment).pem in (state / "ca-bundle.pem").read_bytes()
    assert root.pem not in (state / "ca-bundle.pem").read_bytes()


def test_a_store_that_refuses_is_told_and_undone(environment: DoctorEnvironment, keystore: Keystore) -> None:
    (environment.machine.home / DATABASE).mkdir(parents=True)
    (environment.machine.home / DATABASE / "cert9.db").write_text("")
    certutil(environment, 'case "$*" in *-A*) echo SEC_ERROR_BAD_PASSWORD >&2; exit 255;; esac\n')
    (result,) = fix_all(environment)
    assert (result.state.status, result.state.detail) == (Status.LOCKED, f"~/{DATABASE} has a password")


def test_a_tool_that_lies_is_not_believed(environment: DoctorEnvironment, keystore: Keystore) -> None:
    (environment.machine.home / DATABASE).mkdir(parents=True)
    (environment.machine.home / DATABASE / "cert9.db").write_text("")
    certutil(environment, "exit 0\n")
    (result,) = fix_all(environment)
    assert (result.state.status, result.state.detail) == (
        Status.FAILED,
        "its tools reported success; still, the store does not hold the root",
    )


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(28, "No space left", "/x/y")])
def test_a_full_disk_is_told_in_a_sentence(
    environment: DoctorEnvironment, keystore: Keystore, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(fixes, "write_atomically", full)
    (result,) = fix_all(environment)
    assert result.state.status is Status.FAILED
    assert result.state.detail.endswith(f": {error.strerror}")


def test_a_damaged_record_is_told_in_a_sentence(
    environment: DoctorEnvironment, keystore: Keystore, state: Path
) -> None:
    (state / "trusted.json").write_text("{")
    (result,) = fix_all(environment)
    assert (result.state.status, result.state.detail) == (Status.FAILED, f"{state / 'trusted.json'} cannot be read")
