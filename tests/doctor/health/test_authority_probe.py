from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devtls.doctor.health.authority import ErrorMessage, ProbedCa, probe_ca
from devtls.errors import StateError
from devtls.pki.register import Revoked, serial_text
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register
from devtls.system.storage.register_file import append_event

NOW = datetime.now(UTC)


def test_without_a_directory_there_is_nothing(tmp_path: Path) -> None:
    found = probe_ca(tmp_path / "state", NOW)
    assert (found.facts.exists, found.authority, found.root, found.facts.newest) == (False, None, None, None)
    assert not (tmp_path / "state").exists()


def test_a_ca_is_read_whole(ca: ProbedCa, state: Path) -> None:
    facts = ca.facts
    assert facts.exists
    assert facts.zones == ("dev.local", "localhost", "test")
    assert (facts.exposed, facts.foreign, facts.refused, facts.record) == ((), (), None, None)
    assert ca.authority is not None
    assert ca.root is not None
    assert (ca.root.fingerprint, ca.root.path) == (ca.authority.fingerprint, state / ROOT_FILE)
    assert facts.not_after == ca.authority.root.not_valid_after_utc
    assert facts.newest is not None
    assert abs(facts.newest - datetime.now(UTC)) < timedelta(minutes=5)


def test_open_files_are_listed_and_the_root_of_a_refused_ca_is_still_known(ca: ProbedCa, state: Path) -> None:
    key = next(state.glob("ca-*/intermediate.key"))
    key.chmod(0o640)
    state.chmod(0o755)
    found = probe_ca(state, NOW)
    assert found.facts.exposed == (state, key)
    assert found.authority is None
    assert found.facts.refused is not None
    assert found.root == ca.root


def test_files_of_another_user_are_listed(keystore: Keystore, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    assert state in probe_ca(state, NOW).facts.foreign


@pytest.mark.parametrize("name", ["ca.current", "ca-*/root.pem"])
def test_a_damaged_file_is_told_in_the_keystores_words(keystore: Keystore, state: Path, name: str) -> None:
    next(state.glob(name)).write_bytes(b"{")
    found = probe_ca(state, NOW)
    assert found.authority is None
    assert found.facts.exists
    assert found.facts.refused is not None
    assert "damaged" in found.facts.refused.sentence
    assert (found.root is None) is (name != "ca.current")


def test_a_directory_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    found = probe_ca(tmp_path / "state", NOW)
    assert found.facts.exists
    assert found.facts.refused is not None


def test_a_directory_that_is_closed_to_us_is_told(
    keystore: Keystore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Keystore, "load", closed)
    monkeypatch.setattr(Path, "iterdir", closed)
    found = probe_ca(state, NOW)
    assert found.facts.refused == ErrorMessage(f"{state} cannot be read: Permission denied.", "")


def test_a_record_that_cannot_be_read_is_told(keystore: Keystore, state: Path) -> None:
    (state / "trusted.json").write_text("{")
    found = probe_ca(state, NOW)
    assert found.facts.record is not None
    assert "trusted.json" in found.facts.record.sentence


def test_a_clock_before_the_ca_leaves_its_dates_known(keystore: Keystore, state: Path) -> None:
    found = probe_ca(state, NOW - timedelta(days=3))
    assert found.facts.refused is not None
    assert found.facts.not_before is not None
    assert found.facts.not_before > found.facts.now


def test_a_renewal_is_seen_at_each_of_its_steps(keystore: Keystore, state: Path) -> None:
    old = keystore.load(NOW)
    following = keystore.prepare_next(old.zones, NOW)
    assert probe_ca(state, NOW).facts.next_id == following.id
    keystore.switch_to_next(following)
    found = probe_ca(state, NOW)
    assert (found.facts.next_id, [each.id for each in found.facts.older]) == ("", [old.id])
    assert found.root is not None
    assert found.root.ders == (following.root_der, old.root_der)


def test_the_root_of_a_refused_ca_is_that_of_the_one_that_signs(keystore: Keystore, state: Path) -> None:
    following = keystore.prepare_next(keystore.load(NOW).zones, NOW)
    keystore.switch_to_next(following)
    (keystore.directory_of(following) / "intermediate.key").write_bytes(b"junk")
    found = probe_ca(state, NOW)
    assert found.authority is None
    assert found.root is not None
    assert found.root.id == following.id


def test_a_state_directory_that_cannot_be_read_again_has_no_older_roots(
    keystore: Keystore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_keystore: Keystore) -> None:
        raise StateError("No.")

    monkeypatch.setattr(Keystore, "older_roots", denied)
    monkeypatch.setattr(Keystore, "pointer", denied)
    found = probe_ca(state, NOW)
    assert found.root is not None
    assert (found.root.older, found.facts.older) == ((), ())


def test_a_revocation_that_the_roots_list_lacks_is_found(ca: ProbedCa, keystore: Keystore, state: Path) -> None:
    assert ca.authority is not None
    assert (ca.facts.withdrawn, ca.facts.unpublished) == ("", {})
    register, certificate = Register(keystore, ca.authority), ca.authority.intermediate.certificate
    register.record(certificate, kind="intermediate", names=(), by="ca intermediate", place="x", now=NOW)
    serial = serial_text(certificate.serial_number)
    append_event(register.path.parent, Revoked(serial=serial, at=NOW, reason="hold"))
    assert probe_ca(state, NOW).facts.unpublished == {serial: "revoke"}
    register.path.write_bytes(b'{"format": 99}\n')
    assert probe_ca(state, NOW).facts.unpublished == {}
