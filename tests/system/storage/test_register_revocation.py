"""Revocations on disk: a line first, the list then; no crash and no second process loses one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from devtls.errors import Refused, StateError
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate
from devtls.pki.register import serial_text
from devtls.pki.revocation import crl_number, load_crl, reason_of
from devtls.system.machine.randomness import new_leaf_key
from devtls.system.storage.ca_directory import CRL
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register
from tests.system.storage.power_cut import calls_of, crash

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "state")


@pytest.fixture
def authority(keystore: Keystore) -> Authority:
    return keystore.create(DEFAULT_ZONES, NOW)


@pytest.fixture
def register(keystore: Keystore, authority: Authority) -> Register:
    return Register(keystore, authority)


def issue(register: Register, now: datetime = NOW) -> str:
    key = new_leaf_key().public_key()
    certificate = register.issue(CertificateTemplate(("a.test",)), key, by="cert", place="x", now=now)
    return serial_text(certificate.serial_number)


def published(register: Register) -> x509.CertificateRevocationList:
    return load_crl((register.path.parent / CRL).read_bytes())


def on_the_list(register: Register) -> dict[str, x509.ReasonFlags | None]:
    return {serial_text(entry.serial_number): reason_of(entry) for entry in published(register)}


def test_a_revocation_is_published_at_once(register: Register) -> None:
    first, second = issue(register), issue(register)
    assert register.revoke([first], "key-compromise", NOW + timedelta(hours=1)) == (first,)
    assert on_the_list(register) == {first: x509.ReasonFlags.key_compromise}
    assert crl_number(published(register)) == 2
    (entry,) = published(register)
    assert entry.revocation_date_utc == published(register).last_update_utc == NOW + timedelta(hours=1)
    assert register.history().state(first, NOW) == "revoked"
    assert register.history().state(second, NOW) == "valid"


def test_revoking_again_changes_nothing(register: Register) -> None:
    serial = issue(register)
    register.revoke([serial], "superseded", NOW)
    before = (register.path.read_bytes(), published(register))
    assert register.revoke([serial], "key-compromise", NOW + timedelta(hours=1)) == ()
    assert (register.path.read_bytes(), published(register)) == before


def test_a_hold_can_be_released_or_become_final(register: Register) -> None:
    first, second = issue(register), issue(register)
    assert register.revoke([first, second, first], "hold", NOW) == (first, second)
    assert register.revoke([first], "hold", NOW) == ()
    register.release([first], NOW)
    assert on_the_list(register) == {second: x509.ReasonFlags.certificate_hold}
    assert register.revoke([second], "key-compromise", NOW) == (second,)
    assert on_the_list(register) == {second: x509.ReasonFlags.key_compromise}
    assert crl_number(published(register)) == 4


def test_only_holds_are_released_and_all_or_none(register: Register) -> None:
    held, final, good = issue(register), issue(register), issue(register)
    register.revoke([held], "hold", NOW)
    register.revoke([final], "superseded", NOW)
    with pytest.raises(Refused, match=r"revoked for good \(superseded\)"):
        register.release([held, final], NOW)
    with pytest.raises(Refused, match="is not revoked"):
        register.release([held, good], NOW)
    assert set(on_the_list(register)) == {held, final}


def test_a_list_that_was_lost_is_signed_from_the_register(register: Register, keystore: Keystore) -> None:
    serial = issue(register)
    register.revoke([serial], "superseded", NOW)
    (register.path.parent / CRL).write_bytes(b"?")
    authority = keystore.load(NOW)
    crl = load_crl(keystore.next_crl(authority, NOW))
    assert [serial_text(entry.serial_number) for entry in crl] == [serial]
    assert crl_number(crl) == int(NOW.timestamp())


def test_a_register_that_was_lost_takes_no_revocation_back(register: Register, keystore: Keystore) -> None:
    serial = issue(register)
    register.revoke([serial], "superseded", NOW)
    register.path.unlink()
    other = issue(register)
    register.revoke([other], "superseded", NOW)
    assert set(on_the_list(register)) == {serial, other}


def test_a_new_list_in_time_keeps_what_was_revoked(register: Register, keystore: Keystore) -> None:
    serial = issue(register)
    register.revoke([serial], "superseded", NOW)
    later = load_crl(keystore.next_crl(keystore.load(NOW), NOW + timedelta(days=4)))
    assert [serial_text(entry.serial_number) for entry in later] == [serial]
    assert crl_number(later) == 3


def test_a_ca_that_was_replaced_revokes_nothing(register: Register, keystore: Keystore) -> None:
    serial = issue(register)
    keystore.create(DEFAULT_ZONES, NOW)
    with pytest.raises(StateError, match="was replaced"):
        register.revoke([serial], "superseded", NOW)


def test_a_crash_at_any_step_of_a_revocation_leaves_it_done_or_not_and_the_list_follows(
    register: Register, keystore: Keystore, authority: Authority
) -> None:
    register.revoke([issue(register)], "superseded", NOW)
    serials = [issue(register)]
    total = calls_of(partial(register.revoke, serials, "superseded", NOW))
    assert total > 8
    seen = set()
    for stop_at in range(1, total + 1):
        serial, number, before = issue(register), crl_number(published(register)), set(on_the_list(register))
        crash(stop_at, partial(register.revoke, [serial], "superseded", NOW))
        done = serial in register.history().revoked
        listed = set(on_the_list(register))
        assert listed in (before, before | {serial})
        assert done or listed == before
        assert crl_number(published(register)) == number + (listed != before)
        seen.add((done, listed != before))
        following = load_crl(keystore.next_crl(authority, NOW))
        assert {serial_text(entry.serial_number) for entry in following} == before | ({serial} if done else set())
        assert crl_number(following) == number + done
        register.revoke([serial], "superseded", NOW)
        assert set(on_the_list(register)) == before | {serial}
        assert crl_number(published(register)) == number + 1
    assert seen == {(False, False), (True, False), (True, True)}


def test_a_crash_at_any_step_of_a_release_leaves_the_hold_or_not(register: Register) -> None:
    register.revoke([serial := issue(register)], "hold", NOW)
    total = calls_of(partial(register.release, [serial], NOW))
    seen = set()
    for stop_at in range(1, total + 1):
        register.revoke([serial := issue(register)], "hold", NOW)
        crash(stop_at, partial(register.release, [serial], NOW))
        held = serial in register.history().revoked
        seen.add(held)
        if held:
            register.release([serial], NOW)
        register.revoke([], "hold", NOW)
        assert serial not in on_the_list(register)
    assert seen == {True, False}


REVOKE = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register
keystore, now = Keystore(Path(sys.argv[1])), datetime.now(UTC)
register = Register(keystore, keystore.load(now))
for serial in sys.argv[2:]:
    register.revoke([serial], "superseded", now)
"""


def test_processes_that_revoke_at_the_same_time_lose_none(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "state")
    register = Register(keystore, keystore.create(DEFAULT_ZONES, datetime.now(UTC)))
    serials = [issue(register, datetime.now(UTC)) for _ in range(12)]
    argv = [sys.executable, "-c", REVOKE, str(keystore.state_dir)]
    children = [subprocess.Popen([*argv, *serials[start::3]]) for start in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert set(on_the_list(register)) == set(serials)
    assert crl_number(published(register)) == 13


ENDLESS = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from devtls.pki.certify import CertificateTemplate
from devtls.pki.register import serial_text
from devtls.system.storage.keystore import Keystore
from devtls.system.machine.randomness import new_leaf_key
from devtls.system.storage.register import Register
keystore = Keystore(Path(sys.argv[1]))
register = Register(keystore, keystore.load(datetime.now(UTC)))
while True:
    now = datetime.now(UTC)
    leaf = register.issue(CertificateTemplate(("a.test",)), new_leaf_key().public_key(), by="cert", place="x", now=now)
    print(serial_text(leaf.serial_number), flush=True)
    register.revoke([serial_text(leaf.serial_number)], "superseded", now)
    print("revoked", flush=True)
"""


def test_a_killed_process_leaves_everything_consistent_and_no_lock(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "state")
    authority = keystore.create(DEFAULT_ZONES, datetime.now(UTC))
    register = Register(keystore, authority)
    number = 1
    for delay_s in (0.0, 0.001, 0.003, 0.007):
        argv = [sys.executable, "-c", ENDLESS, str(keystore.state_dir)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said = [child.stdout.readline().strip() for _ in range(4)]
            time.sleep(delay_s)
            child.send_signal(signal.SIGKILL)
            said += child.stdout.read().split()
        history = register.history()
        issued = [word for word in said if word not in ("", "revoked")]
        assert set(issued) <= set(history.issued)
        assert set(issued[: said.count("revoked")]) <= set(history.revoked)
        crl = load_crl(keystore.next_crl(authority, datetime.now(UTC)))
        assert {serial_text(entry.serial_number) for entry in crl} == set(history.revoked)
        assert crl_number(crl) > number
        number = crl_number(crl)
    assert register.history().damaged == ()
