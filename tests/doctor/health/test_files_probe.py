from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.doctor.health.files import probe_files
from devtls.names import DEFAULT_ZONES
from devtls.pki.certify import CertificateTemplate
from devtls.pki.register import serial_text
from devtls.system.storage.certificate_files import chain_file, new_certificate_key
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register

NOW = datetime.now(UTC)


def write(keystore: Keystore, place: Path, key_type: str = "ecdsa") -> str:
    register = Register(keystore, keystore.load(NOW))
    key = new_certificate_key(key_type).public_key()
    leaf = register.issue(CertificateTemplate(("a.test",)), key, by="cert", place=str(place), now=NOW)
    place.write_bytes(chain_file([leaf, register.authority.root]))
    return serial_text(leaf.serial_number)


def found(state: Path) -> list[tuple[str, bool]]:
    return [(file.issued.serial, file.has_rsa) for file in probe_files(state, NOW)]


def test_without_a_ca_there_is_nothing(state: Path) -> None:
    assert found(state) == []
    assert not state.exists()


def test_what_is_still_in_its_file_is_found(keystore: Keystore, state: Path, tmp_path: Path) -> None:
    first, second = write(keystore, tmp_path / "a.pem"), write(keystore, tmp_path / "b.pem", "rsa")
    assert found(state) == [(first, False), (second, True)]


def test_what_was_replaced_removed_or_revoked_is_not(keystore: Keystore, state: Path, tmp_path: Path) -> None:
    write(keystore, tmp_path / "a.pem")
    again = write(keystore, tmp_path / "a.pem")
    write(keystore, tmp_path / "gone.pem")
    (tmp_path / "gone.pem").unlink()
    write(keystore, tmp_path / "other.pem")
    (tmp_path / "other.pem").write_bytes(b"another's")
    revoked = write(keystore, tmp_path / "revoked.pem")
    Register(keystore, keystore.load(NOW)).revoke([revoked], "superseded", NOW)
    assert found(state) == [(again, False)]


@pytest.mark.parametrize(("there", "count"), [(True, 1), (False, 0)])
def test_nobody_looks_into_pkcs12(keystore: Keystore, state: Path, tmp_path: Path, there: bool, count: int) -> None:
    place = tmp_path / "a.p12"
    write(keystore, place)
    if not there:
        place.unlink()
    assert len(found(state)) == count


def test_a_certificate_that_went_to_stdout_is_nobodys_file(keystore: Keystore, state: Path) -> None:
    register = Register(keystore, keystore.load(NOW))
    key = new_certificate_key("ecdsa").public_key()
    register.issue(CertificateTemplate(("a.test",)), key, by="sign", place="standard output", now=NOW)
    assert found(state) == []


def test_of_an_older_ca_too(keystore: Keystore, state: Path, tmp_path: Path) -> None:
    serial = write(keystore, tmp_path / "a.pem")
    keystore.switch_to_next(keystore.prepare_next(DEFAULT_ZONES, NOW))
    assert found(state) == [(serial, False)]
