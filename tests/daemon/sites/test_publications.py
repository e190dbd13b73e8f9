"""What is published is read once, and again as soon as a file changed or a list is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devtls.daemon.sites.publications import Publications
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate
from devtls.pki.register import serial_text
from devtls.pki.revocation import crl_number
from devtls.system.machine.randomness import new_leaf_key
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "state")


@pytest.fixture
def authority(keystore: Keystore) -> Authority:
    return keystore.create(DEFAULT_ZONES, NOW)


def issue(keystore: Keystore, authority: Authority) -> str:
    key = new_leaf_key().public_key()
    register = Register(keystore, authority)
    return serial_text(
        register.issue(CertificateTemplate(("a.test",)), key, by="cert", place="x", now=NOW).serial_number
    )


def test_nothing_is_read_twice_while_nothing_changes(
    keystore: Keystore, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial, publications = issue(keystore, authority), Publications(keystore)
    first = publications.of(authority, authority.intermediate, NOW)
    assert first.issued == {serial}
    with monkeypatch.context() as patch:
        patch.setattr(Keystore, "next_crl", lambda *_: pytest.fail("the register was read again"))
        assert publications.of(authority, authority.intermediate, NOW + timedelta(days=3)) is first
    assert (
        crl_number(publications.of(authority, authority.intermediate, NOW + timedelta(days=4)).crl) == 2
    )  # it was due


def test_every_change_is_seen_at_once(keystore: Keystore, authority: Authority) -> None:
    publications = Publications(keystore)
    assert publications.of(authority, authority.intermediate, NOW).issued == frozenset()
    serials = {issue(keystore, authority)}
    assert publications.of(authority, authority.intermediate, NOW).issued == serials
    serials.add(another := issue(keystore, authority))
    assert publications.of(authority, authority.intermediate, NOW).issued == serials
    Register(keystore, authority).revoke([another], "superseded", NOW)
    (entry,) = publications.of(authority, authority.intermediate, NOW).crl
    assert serial_text(entry.serial_number) == another
    (keystore.directory_of(authority) / "intermediate.crl").unlink()
    assert [
        serial_text(entry.serial_number) for entry in publications.of(authority, authority.intermediate, NOW).crl
    ] == [another]


def test_what_the_root_signed_is_none_of_the_intermediates(keystore: Keystore, authority: Authority) -> None:
    certificate, zones = authority.intermediate.certificate, authority.zones
    register = Register(keystore, authority)
    register.record(certificate, kind="intermediate", names=zones, by="ca intermediate", place="x", now=NOW)
    assert Publications(keystore).of(authority, authority.intermediate, NOW).issued == frozenset()
