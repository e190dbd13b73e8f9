"""Revocations on the root's list: a line first, the list then, and a crash in between is found and mended."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from devtls.errors import CertificateError, Refused
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.pki.delegation import checked_key, delegate
from devtls.pki.register import serial_text
from devtls.pki.revocation import crl_number, load_crl
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.ca_directory import Locks
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register
from tests.system.storage.power_cut import calls_of, crash

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "state")


@pytest.fixture
def root_key(keystore: Keystore) -> IssuerKey:
    """Make a CA, and keep the root's key."""
    kept: list[IssuerKey] = []

    def keep(key: IssuerKey) -> bytes:
        kept.append(key)
        return b"a container"

    keystore.create(DEFAULT_ZONES, NOW, locks=Locks(root=keep))
    return kept[0]


@pytest.fixture
def register(keystore: Keystore, root_key: IssuerKey) -> Register:
    return Register(keystore, keystore.load(NOW))


def hand_out(register: Register, root_key: IssuerKey) -> str:
    authority, key = register.authority, checked_key(new_leaf_key().public_key())
    made = delegate(authority, root_key, key, zones=(), now=NOW, days=30, serial=new_serial())
    zones = authority.zones
    register.record(made, kind="intermediate", names=zones, by="ca intermediate", place="x", now=NOW)
    return serial_text(made.serial_number)


def root_list(keystore: Keystore, authority: Authority) -> x509.CertificateRevocationList:
    return load_crl(keystore.root_crl(authority))


def listed(keystore: Keystore, authority: Authority) -> set[str]:
    return {serial_text(entry.serial_number) for entry in root_list(keystore, authority)}


def is_whole(keystore: Keystore) -> bool:
    """Say whether what starts would find a CA that works, and no file that a crash left."""
    authority = keystore.load(NOW)
    stray = [path.name for path in keystore.directory_of(authority).iterdir() if path.name.startswith(".")]
    return keystore.load_signer(NOW).fingerprint == authority.fingerprint and not stray


def test_a_crash_at_any_step_of_a_revocation_is_found_and_repaired(
    register: Register, keystore: Keystore, root_key: IssuerKey
) -> None:
    revoke = partial(register.revoke, reason="ca-compromise", now=NOW, root_key=root_key)
    total = calls_of(partial(revoke, [hand_out(register, root_key)]))
    assert total > 20
    seen, authority = set(), register.authority
    for stop_at in range(1, total + 1):
        serial, before = hand_out(register, root_key), listed(keystore, authority)
        number = crl_number(root_list(keystore, authority))
        crash(stop_at, partial(revoke, [serial]))
        recorded, published = serial in register.history().revoked, listed(keystore, authority) != before
        assert recorded or not published
        assert register.unpublished() == ({serial: "revoke"} if recorded and not published else {})
        assert keystore.load_signer(NOW).fingerprint == authority.fingerprint
        seen.add((recorded, published))
        revoke([serial])
        assert is_whole(keystore)
        assert register.unpublished() == {}
        assert listed(keystore, authority) == before | {serial}
        assert crl_number(root_list(keystore, authority)) == number + 1
    assert seen == {(False, False), (True, False), (True, True)}


def test_a_crash_at_any_step_of_a_release_is_found_and_repaired(
    register: Register, keystore: Keystore, root_key: IssuerKey
) -> None:
    revoke = partial(register.revoke, reason="hold", now=NOW, root_key=root_key)
    release = partial(register.release, now=NOW, root_key=root_key)
    revoke([serial := hand_out(register, root_key)])
    total = calls_of(partial(release, [serial]))
    seen = set()
    for stop_at in range(1, total + 1):
        revoke([serial := hand_out(register, root_key)])
        crash(stop_at, partial(release, [serial]))
        held, published = serial in register.history().revoked, serial not in listed(keystore, register.authority)
        assert register.unpublished() == ({} if held or published else {serial: "unrevoke"})
        seen.add((held, published))
        if held or not published:
            release([serial])
        with pytest.raises(Refused, match="is not revoked"):
            release([serial])
        assert register.unpublished() == {}
        assert serial not in listed(keystore, register.authority)
    assert seen == {(True, False), (False, False), (False, True)}


def test_leaves_stand_on_the_other_list(register: Register, keystore: Keystore, root_key: IssuerKey) -> None:
    serial = hand_out(register, root_key)
    register.revoke(["0a0b0c"], "superseded", NOW)
    register.revoke([serial], "superseded", NOW, root_key=root_key)
    register.revoke(["0d0e0f"], "superseded", NOW)
    assert listed(keystore, register.authority) == {serial}
    leaves = {serial_text(entry.serial_number) for entry in load_crl(register.published_crl())}
    assert leaves == {"0a0b0c", "0d0e0f"}


def test_another_key_than_the_roots_revokes_nothing(register: Register, root_key: IssuerKey) -> None:
    serial = hand_out(register, root_key)
    with pytest.raises(CertificateError, match="not the root's"):
        register.revoke([serial], "superseded", NOW, root_key=new_leaf_key())
    assert register.history().revoked == {}


def test_a_ca_whose_root_publishes_elsewhere_has_nothing_to_repair(register: Register, root_key: IssuerKey) -> None:
    hand_out(register, root_key)
    (register.path.parent / "root.crl").write_bytes(b"")
    assert register.unpublished() == {}
