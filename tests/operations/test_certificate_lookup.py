"""Certificates of the register: found by serial number, name and file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import CertificateError, Refused
from devtls.names import DEFAULT_ZONES
from devtls.operations.certificate_lookup import is_intermediate, open_certificates
from devtls.operations.context import Context
from devtls.pki.certify import CertificateTemplate
from devtls.pki.register import Issued, serial_text
from devtls.system.machine.randomness import new_leaf_key
from devtls.system.storage.register import Register
from devtls.system.storage.register_file import append_events
from tests.operations.recording import RecordingReporter
from tests.pki.elsewhere import mkcert


@pytest.fixture
def register(context: Context) -> Register:
    return Register(context.keystore, context.keystore.create(DEFAULT_ZONES, context.now))


def issue(register: Register, context: Context, *names: str) -> x509.Certificate:
    key = new_leaf_key().public_key()
    return register.issue(CertificateTemplate(names), key, by="cert", place="x", now=context.now)


def test_a_certificate_is_found_by_name_serial_number_and_file(
    context: Context, register: Register, tmp_path: Path
) -> None:
    leaf = issue(register, context, "a.test", "b.test")
    issue(register, context, "c.test")
    serial, file = serial_text(leaf.serial_number), tmp_path / "leaf.cer"
    file.write_bytes(leaf.public_bytes(Encoding.DER))
    found = open_certificates(context)
    for wanted in ("B.test", serial, serial[:10].upper(), str(file)):
        assert [one.serial for one in found.find(wanted)] == [serial], wanted
    assert found.certificate_in(str(file)) == leaf
    assert found.certificate_in("a.test") is None


def test_several_and_none_are_errors(context: Context, register: Register, tmp_path: Path) -> None:
    issue(register, context, "a.test")
    found = open_certificates(context)
    with pytest.raises(CertificateError, match="No certificate of this CA"):
        found.find("none.test")
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(mkcert().certificate.public_bytes(Encoding.PEM))
    with pytest.raises(CertificateError, match="none of this CA's"):
        found.find(str(foreign))
    foreign.write_bytes(b"junk")
    with pytest.raises(CertificateError, match="There is no certificate in"):
        found.find(str(foreign))


def test_serial_numbers_that_begin_alike_need_more_digits(context: Context, register: Register) -> None:
    recorded = Issued(
        serial="0123456701",
        at=context.now,
        by="acme",
        kind="server",
        names=("x.test",),
        not_before=context.now,
        not_after=context.now + timedelta(days=1),
        key_sha256="",
        sha256="",
        place="x",
    )
    other = msgspec.structs.replace(recorded, serial="0123456702")
    append_events(register.path.parent, [recorded, other])
    found = open_certificates(context)
    with pytest.raises(Refused, match="2 serial numbers begin with '01234567'"):
        found.find("01234567")
    assert found.find("0123456702") == (other,)
    assert found.find("x.test") == (recorded, other)


def test_registers_of_earlier_cas_are_searched_too(context: Context, register: Register) -> None:
    old = issue(register, context, "a.test")
    context.keystore.switch_to_next(context.keystore.prepare_next(DEFAULT_ZONES, context.now))
    present = context.keystore.load(context.now)
    new = issue(Register(context.keystore, present), context, "a.test")
    found = open_certificates(context)
    assert [one.serial for one in found.find("a.test")] == [serial_text(each.serial_number) for each in (old, new)]
    assert [each.id for each in found.authorities] == [present.id, register.authority.id]
    assert found.owners[serial_text(old.serial_number)] == register.authority.id
    issuers = [found.issuer_of(each) for each in (old, new, mkcert().certificate)]
    assert [None if each is None else each.id for each in issuers] == [register.authority.id, present.id, None]
    assert is_intermediate(present.intermediate.certificate, present)
    assert not is_intermediate(new, present)


def test_damaged_lines_are_reported(context: Context, register: Register, reporter: RecordingReporter) -> None:
    issue(register, context, "a.test")
    register.path.write_bytes(b"???\n" + register.path.read_bytes())
    assert len(open_certificates(context).find("a.test")) == 1
    assert reporter.calls == [("warning", "The register has lines that cannot be read: 1.")]
