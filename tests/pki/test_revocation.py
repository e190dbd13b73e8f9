from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from devtls.errors import CertificateError
from devtls.pki.authority import Authority
from devtls.pki.register import History, Released, RevocationReason, Revoked
from devtls.pki.revocation import (
    build_crl,
    crl_number,
    entries_for,
    is_due,
    load_crl,
    reason_of,
    resign_at,
    revoked_entry,
    says_the_same,
)


def entry(serial: int, when: datetime) -> x509.RevokedCertificate:
    reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when.replace(microsecond=0))
    return builder.add_extension(reason, critical=False).build()


def test_the_intermediates_list_carries_number_issuer_key_and_a_week(authority: Authority, now: datetime) -> None:
    crl = load_crl(authority.intermediate_crl(number=12, this_update=now))
    assert crl_number(crl) == 12
    assert crl.issuer == authority.intermediate.certificate.subject
    assert crl.last_update_utc == now.replace(microsecond=0)
    assert crl.next_update_utc == now.replace(microsecond=0) + timedelta(days=7)
    assert {extension.oid._name for extension in crl.extensions} == {"authorityKeyIdentifier", "cRLNumber"}
    assert crl.is_signature_valid(authority.intermediate.key.public_key())


def test_the_roots_list_is_good_until_the_root_ends(authority: Authority) -> None:
    crl = load_crl(authority.root_crl_der)
    assert crl.next_update_utc == authority.root.not_valid_after_utc
    assert crl.issuer == authority.root.subject
    assert crl_number(crl) == 1
    assert list(crl) == []


def test_a_revoked_serial_is_listed_with_its_reason(authority: Authority, now: datetime) -> None:
    crl = load_crl(authority.intermediate_crl(number=2, this_update=now, revoked=[entry(77, now), entry(78, now)]))
    revoked = crl.get_revoked_certificate_by_serial_number(77)
    assert revoked is not None
    assert revoked.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
    assert len(list(crl)) == 2


def test_a_list_is_due_at_half_of_its_life_or_when_the_clock_went_back(authority: Authority, now: datetime) -> None:
    crl = load_crl(authority.intermediate_crl(number=1, this_update=now))
    start = now.replace(microsecond=0)
    assert resign_at(crl) == start + timedelta(days=3, hours=12)
    assert not is_due(crl, start)
    assert not is_due(crl, resign_at(crl) - timedelta(seconds=1))
    assert is_due(crl, resign_at(crl))
    assert is_due(crl, start - timedelta(seconds=1))


def test_a_list_without_a_number_counts_as_zero(authority: Authority, now: datetime) -> None:
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.root.subject)
    builder = builder.last_update(now).next_update(now + timedelta(days=1))
    assert crl_number(builder.sign(authority.intermediate.key, SHA256())) == 0


def test_junk_is_no_list() -> None:
    with pytest.raises(CertificateError, match="damaged"):
        load_crl(b"junk")


def test_the_same_input_gives_the_same_list(authority: Authority, now: datetime) -> None:
    lists = {
        build_crl(
            authority.root,
            authority.intermediate.key,
            number=1,
            this_update=now,
            next_update=now + timedelta(days=1),
        ).tbs_certlist_bytes
        for _ in range(2)
    }
    assert len(lists) == 1


def test_an_entry_says_why_unless_there_is_nothing_to_say(now: datetime) -> None:
    said = revoked_entry(5, now, "hold")
    assert said.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.certificate_hold
    silent = revoked_entry(6, now, "unspecified")
    assert (silent.serial_number, silent.revocation_date_utc) == (6, now.replace(microsecond=0))
    assert list(silent.extensions) == []


def event(serial: str, reason: RevocationReason, at: datetime) -> Revoked:
    return Revoked(serial=serial, at=at.replace(microsecond=0), reason=reason)


def test_the_register_and_what_only_the_last_list_knows_make_the_next_one(authority: Authority, now: datetime) -> None:
    old = [entry(1, now), revoked_entry(2, now, "hold"), revoked_entry(3, now, "hold")]
    last = load_crl(authority.intermediate_crl(number=4, this_update=now, revoked=old))
    later = now + timedelta(days=1)
    history = History(
        (
            event("02", "hold", now),
            event("03", "hold", now),
            event("03", "key-compromise", later),
            event("04", "unspecified", later),
            Released(serial="02", at=later),
        )
    )
    entries = entries_for(history, last, history.revoked)
    assert {(one.serial_number, reason_of(one)) for one in entries} == {
        (1, x509.ReasonFlags.key_compromise),
        (3, x509.ReasonFlags.key_compromise),
        (4, None),
    }
    following = load_crl(authority.intermediate_crl(number=5, this_update=later, revoked=entries))
    assert says_the_same(following, history, history.revoked)
    assert {one.serial_number for one in entries_for(history, following, history.revoked)} == {1, 3, 4}
    assert not says_the_same(last, history, history.revoked)


@pytest.mark.parametrize(
    ("serial", "reason", "seconds", "same"),
    [
        ("03", "superseded", 0, True),
        ("03", "unspecified", 0, False),
        ("03", "superseded", 1, False),
        ("04", "superseded", 0, False),
    ],
)
def test_a_list_says_the_same_as_a_register_that_decided_the_same(
    authority: Authority, now: datetime, serial: str, reason: RevocationReason, seconds: int, *, same: bool
) -> None:
    began = now.replace(microsecond=0)
    old = [entry(1, began), revoked_entry(3, began, "superseded")]
    crl = load_crl(authority.intermediate_crl(number=4, this_update=now, revoked=old))
    history = History((event(serial, reason, began + timedelta(seconds=seconds)),))
    assert says_the_same(crl, history, history.revoked) is same
    assert says_the_same(crl, History(), ())


def test_without_a_last_list_the_register_is_all_there_is(now: datetime) -> None:
    (one,) = entries_for(History((event("0a0b", "superseded", now),)), None, {"0a0b"})
    assert (one.serial_number, one.revocation_date_utc) == (0x0A0B, now.replace(microsecond=0))
