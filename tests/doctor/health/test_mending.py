"""What --fix does on a redirected machine: each kind once, shown before, and asked again after."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.doctor.health import mending
from devtls.doctor.health.examine import Diagnosis, Patient, examine
from devtls.doctor.health.finding import InstallRoot
from devtls.doctor.health.mending import Bench, Mended, mend, propose_fixes
from devtls.names import DEFAULT_ZONES
from devtls.system.changes.clientenv.files import write_files
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.storage.keystore import Keystore
from tests.system.changes.truststore.foreign_roots import make_foreign_root

DATABASE = ".local/share/pki/nssdb"


def diagnose(patient: Patient) -> Diagnosis:
    return examine(patient, datetime.now(UTC))


def ids(patient: Patient) -> set[str]:
    return {finding.id for finding in diagnose(patient).findings}


def mend_all(patient: Patient) -> list[Mended]:
    diagnosis = diagnose(patient)
    bench = Bench(patient.machine, patient.runner, patient.environ)
    return [mend(each, diagnosis, bench) for each in propose_fixes(diagnosis)]


def certutil(patient: Patient, script: str) -> None:
    tool = patient.machine.root / "usr/bin/certutil"
    tool.write_text(f"#!/bin/sh\n{script}")


def test_the_root_is_put_into_the_users_own_stores(patient: Patient, keystore: Keystore) -> None:
    (proposed,) = propose_fixes(diagnose(patient))
    assert proposed.what.endswith(f"(~/{DATABASE}): put the root in")
    assert any("certutil -A" in command for command in proposed.commands)
    assert mend_all(patient) == [Mended(proposed.what, True)]
    assert "untrusted" not in ids(patient)
    assert mend_all(patient) == []


def test_a_root_of_an_earlier_ca_is_taken_out(patient: Patient, keystore: Keystore) -> None:
    mend_all(patient)
    keystore.create(DEFAULT_ZONES, datetime.now(UTC))
    assert {"root-stale", "untrusted"} <= ids(patient)
    assert [each.done for each in mend_all(patient)] == [True, True, True]
    assert len(list((patient.machine.home / DATABASE).glob("*.pem"))) == 1
    assert not {"root-stale", "untrusted"} & ids(patient)


def test_files_that_others_can_read_are_closed(patient: Patient, keystore: Keystore, state: Path) -> None:
    mend_all(patient)
    key = next(state.glob("ca-*/intermediate.key"))
    key.chmod(0o644)
    state.chmod(0o750)
    (proposed,) = propose_fixes(diagnose(patient))
    assert proposed.commands == (f"chmod go= {state}", f"chmod go= {key}")
    assert mend_all(patient) == [Mended("Close the CA's files to other users", True)]
    assert (stat.S_IMODE(key.stat().st_mode), stat.S_IMODE(state.stat().st_mode)) == (0o600, 0o700)
    assert "ca-fine" in ids(patient)


def test_files_of_devtls_env_are_made_anew(patient: Patient, keystore: Keystore, state: Path) -> None:
    bundle = patient.machine.root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(make_foreign_root("mkcert a", "mkcert development CA"))
    root = diagnose(patient).ca.root
    assert root is not None
    write_files(plan_environment(probe(state, root, {}, patient.machine.root)).files)
    mend_all(patient)
    keystore.create(DEFAULT_ZONES, datetime.now(UTC))
    assert "env-outdated" in ids(patient)
    assert all(each.done for each in mend_all(patient))
    assert "env-outdated" not in ids(patient)
    later = diagnose(patient).ca.root
    assert later is not None
    assert later.pem in (state / "ca-bundle.pem").read_bytes()
    assert root.pem not in (state / "ca-bundle.pem").read_bytes()


def test_a_store_that_refuses_is_told_and_taken_back(patient: Patient, keystore: Keystore) -> None:
    (patient.machine.home / DATABASE).mkdir(parents=True)
    (patient.machine.home / DATABASE / "cert9.db").write_text("")
    certutil(patient, 'case "$*" in *-A*) echo SEC_ERROR_BAD_PASSWORD >&2; exit 255;; esac\n')
    (mended,) = mend_all(patient)
    assert not mended.done
    assert mended.detail == f"~/{DATABASE} has a password"


def test_a_tool_that_lies_is_not_believed(patient: Patient, keystore: Keystore) -> None:
    (patient.machine.home / DATABASE).mkdir(parents=True)
    (patient.machine.home / DATABASE / "cert9.db").write_text("")
    certutil(patient, "exit 0\n")
    (mended,) = mend_all(patient)
    assert (mended.done, mended.detail) == (
        False,
        "its tools reported success; still, the store does not hold the root",
    )


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(28, "No space left", "/x/y")])
def test_a_full_disk_is_told_in_a_sentence(
    patient: Patient, keystore: Keystore, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(mending, "write_atomically", full)
    (mended,) = mend_all(patient)
    assert not mended.done
    assert mended.detail.endswith(f": {error.strerror}")


def test_a_damaged_record_is_told_in_a_sentence(patient: Patient, keystore: Keystore, state: Path) -> None:
    (state / "trusted.json").write_text("{")
    (mended,) = mend_all(patient)
    assert mended == Mended(mended.what, False, f"{state / 'trusted.json'} cannot be read")


def test_without_a_root_there_is_nothing_to_put_anywhere(patient: Patient, keystore: Keystore) -> None:
    diagnosis = diagnose(patient)
    without = replace(diagnosis, ca=replace(diagnosis.ca, root=None))
    assert any(isinstance(finding.fix, InstallRoot) for finding in without.findings)
    with pytest.raises(ValueError, match="without one"):
        propose_fixes(without)
