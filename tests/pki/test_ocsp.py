from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus

from devtls.names import DEFAULT_ZONES
from devtls.pki import der
from devtls.pki.authority import Authority, NewKey, create_authority
from devtls.pki.certify import CertificateTemplate, certify
from devtls.pki.intermediate import Intermediate
from devtls.pki.leaf import TRANSIENT
from devtls.pki.ocsp import LIFETIME, MAX_REQUEST_BYTES, OcspResponse, Publisher, respond, try_later_response
from devtls.pki.register import RevocationReason, serial_text
from devtls.pki.revocation import load_crl, revoked_entry
from tests.pki.conftest import fixed_key

SERIAL = 0x0A0B0C


def certificate(authority: Authority, now: datetime, serial: int = SERIAL) -> x509.Certificate:
    return certify(authority, CertificateTemplate(("a.test",)), fixed_key(1003).public_key(), now=now, serial=serial)


def request(
    authority: Authority,
    now: datetime,
    serial: int = SERIAL,
    nonce: bytes = b"",
    algorithm: HashAlgorithm | None = None,
) -> bytes:
    leaf, issuer = certificate(authority, now, serial), authority.intermediate.certificate
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, algorithm or SHA1())
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def publisher(authority: Authority, now: datetime, *revoked: x509.RevokedCertificate) -> Publisher:
    crl = load_crl(authority.intermediate_crl(number=1, this_update=now, revoked=revoked))
    return Publisher(authority.intermediate, crl, {serial_text(SERIAL)})


def response(answered: OcspResponse) -> ocsp.OCSPResponse:
    return ocsp.load_der_ocsp_response(answered.der)


def test_a_certificate_that_was_issued_is_good_for_an_hour(authority: Authority, now: datetime) -> None:
    answered = respond(request(authority, now), [publisher(authority, now)], now)
    said = response(answered)
    start = now.replace(microsecond=0)
    assert said.response_status is OCSPResponseStatus.SUCCESSFUL
    assert said.certificate_status is OCSPCertStatus.GOOD
    assert said.serial_number == SERIAL
    assert (said.this_update_utc, said.next_update_utc) == (start, start + LIFETIME)
    assert answered.until == start + LIFETIME


def test_the_intermediate_signs_by_itself_and_is_named_by_its_key(authority: Authority, now: datetime) -> None:
    said = response(respond(request(authority, now), [publisher(authority, now)], now))
    assert said.certificates == []
    assert said.responder_key_hash == authority.signer.identifier
    public_key = authority.intermediate.certificate.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(said.signature, said.tbs_response_bytes, ec.ECDSA(SHA256()))


@pytest.mark.parametrize(
    ("reason", "flag"),
    [
        ("key-compromise", x509.ReasonFlags.key_compromise),
        ("hold", x509.ReasonFlags.certificate_hold),
        ("unspecified", None),
    ],
)
def test_what_is_on_the_list_is_revoked_since_and_why(
    authority: Authority, now: datetime, reason: RevocationReason, flag: x509.ReasonFlags | None
) -> None:
    entry = revoked_entry(SERIAL, now - timedelta(days=2), reason)
    said = response(respond(request(authority, now), [publisher(authority, now, entry)], now))
    assert said.certificate_status is OCSPCertStatus.REVOKED
    assert said.revocation_time_utc == entry.revocation_date_utc
    assert said.revocation_reason is flag


def test_a_serial_that_was_never_given_out_is_unknown(authority: Authority, now: datetime) -> None:
    said = response(respond(request(authority, now, serial=77), [publisher(authority, now)], now))
    assert said.certificate_status is OCSPCertStatus.UNKNOWN


def test_what_a_proxy_holds_in_memory_is_good_until_it_is_on_the_list(authority: Authority, now: datetime) -> None:
    serial = TRANSIENT | 5
    said = response(respond(request(authority, now, serial), [publisher(authority, now)], now))
    assert said.certificate_status is OCSPCertStatus.GOOD
    entry = revoked_entry(serial, now, "superseded")
    said = response(respond(request(authority, now, serial), [publisher(authority, now, entry)], now))
    assert said.certificate_status is OCSPCertStatus.REVOKED


@pytest.mark.parametrize("revoked", [False, True])
def test_a_certificate_that_has_expired_keeps_its_answer(authority: Authority, now: datetime, revoked: bool) -> None:
    later = now + timedelta(days=200)
    entries = [revoked_entry(SERIAL, now, "superseded")] if revoked else []
    said = response(respond(request(authority, now), [publisher(authority, later, *entries)], later))
    assert said.certificate_status is (OCSPCertStatus.REVOKED if revoked else OCSPCertStatus.GOOD)
    assert said.this_update_utc == later.replace(microsecond=0)


@pytest.mark.parametrize("size", [1, 16, 32, 128])
def test_a_nonce_is_given_back_and_such_an_answer_is_for_once(authority: Authority, now: datetime, size: int) -> None:
    answered = respond(request(authority, now, nonce=b"n" * size), [publisher(authority, now)], now)
    assert response(answered).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * size
    assert answered.until is None


@pytest.mark.parametrize("algorithm", [SHA1(), SHA256(), SHA384()], ids=lambda one: one.name)
def test_every_hash_names_the_issuer(authority: Authority, now: datetime, algorithm: HashAlgorithm) -> None:
    said = response(respond(request(authority, now, algorithm=algorithm), [publisher(authority, now)], now))
    assert said.certificate_status is OCSPCertStatus.GOOD
    assert said.hash_algorithm.name == algorithm.name


def test_of_several_cas_the_one_that_is_asked_about_answers(authority: Authority, now: datetime) -> None:
    other = other_authority(now)
    both = [publisher(other, now), publisher(authority, now)]
    for one in (authority, other):
        said = response(respond(request(one, now), both, now))
        assert said.responder_key_hash == one.signer.identifier


def other_authority(now: datetime) -> Authority:
    return create_authority(
        DEFAULT_ZONES,
        now=now,
        pki_port=20444,
        root=NewKey(fixed_key(2001), 1),
        intermediates={"server": NewKey(fixed_key(2002), 2), "client": NewKey(fixed_key(2010), 3)},
    )


def test_a_ca_with_an_rsa_key_answers_too(authority: Authority, now: datetime) -> None:
    """One that came from elsewhere."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = authority.intermediate.certificate
    builder = x509.CertificateBuilder(extensions=[]).subject_name(certificate.subject).issuer_name(certificate.issuer)
    builder = builder.public_key(key.public_key()).serial_number(9).not_valid_before(certificate.not_valid_before_utc)
    own = builder.not_valid_after(certificate.not_valid_after_utc).sign(fixed_key(1001), SHA256())
    imported = Intermediate(own, key)
    leaf = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(own.subject).serial_number(SERIAL)
    leaf = leaf.public_key(fixed_key(5).public_key()).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf.sign(key, SHA256()), own, SHA256()).build()
    crl = load_crl(authority.intermediate_crl(number=1, this_update=now))
    said = response(respond(asked.public_bytes(Encoding.DER), [Publisher(imported, crl, {serial_text(SERIAL)})], now))
    assert said.certificate_status is OCSPCertStatus.GOOD
    key.public_key().verify(said.signature, said.tbs_response_bytes, padding.PKCS1v15(), SHA256())


def test_for_other_issuers_nobody_answers(authority: Authority, now: datetime) -> None:
    answered = respond(request(other_authority(now), now), [publisher(authority, now)], now)
    assert response(answered).response_status is OCSPResponseStatus.UNAUTHORIZED
    assert answered.until is None


def test_an_answer_ends_with_the_ca_that_signed_it(authority: Authority, now: datetime) -> None:
    end = authority.intermediate.certificate.not_valid_after_utc
    late = end - timedelta(minutes=10)
    answered = respond(request(authority, now), [publisher(authority, late)], late)
    assert (response(answered).next_update_utc, answered.until) == (end, end)


def test_a_ca_that_has_ended_answers_for_nobody(authority: Authority, now: datetime) -> None:
    end = authority.intermediate.certificate.not_valid_after_utc
    answered = respond(request(authority, now), [publisher(authority, now)], end)
    assert response(answered).response_status is OCSPResponseStatus.UNAUTHORIZED
    assert answered.until is None


def test_whoever_cannot_sign_says_try_later() -> None:
    assert response(try_later_response()).response_status is OCSPResponseStatus.TRY_LATER


def two_certificates(authority: Authority, now: datetime) -> bytes:
    """Return a request for two certificates, which the library does not build."""
    one = request(authority, now)
    single = inner_request(one)
    return der.sequence(der.sequence(der.sequence(single, single)))


def inner_request(whole: bytes) -> bytes:
    """Return the single Request: three SEQUENCEs of short length inside."""
    content = whole
    for _ in range(3):
        assert content[0] == 0x30
        assert content[1] < 0x80
        content = content[2:]
    return content


def with_extension(authority: Authority, now: datetime, identifier: str, critical: bytes, value: bytes) -> bytes:
    single = inner_request(request(authority, now))
    extension = der.sequence(der.encode(0x06, bytes.fromhex(identifier)), critical, der.byte_string(value))
    extensions = der.encode(0xA2, der.sequence(extension))
    return der.sequence(der.sequence(der.sequence(single), extensions))


def test_a_request_for_several_certificates_is_malformed(authority: Authority, now: datetime) -> None:
    answered = respond(two_certificates(authority, now), [publisher(authority, now)], now)
    assert response(answered).response_status is OCSPResponseStatus.MALFORMED_REQUEST


def test_an_unknown_extension_is_passed_over_unless_it_is_critical(authority: Authority, now: datetime) -> None:
    for critical, status in (
        (b"", OCSPResponseStatus.SUCCESSFUL),
        (b"\x01\x01\xff", OCSPResponseStatus.MALFORMED_REQUEST),
    ):
        asked = with_extension(authority, now, "2a0304", critical, b"\x05\x00")
        assert response(respond(asked, [publisher(authority, now)], now)).response_status is status


@pytest.mark.parametrize("size", [0, 129])
def test_a_nonce_of_an_impossible_length_is_malformed(authority: Authority, now: datetime, size: int) -> None:
    asked = with_extension(authority, now, "2b0601050507300102", b"", der.byte_string(b"n" * size))
    assert (
        response(respond(asked, [publisher(authority, now)], now)).response_status
        is OCSPResponseStatus.MALFORMED_REQUEST
    )


def test_every_cut_of_a_request_is_malformed(authority: Authority, now: datetime) -> None:
    whole, ready = request(authority, now), [publisher(authority, now)]
    for size in range(len(whole)):
        status = response(respond(whole[:size], ready, now)).response_status
        assert status is OCSPResponseStatus.MALFORMED_REQUEST, size


def test_what_is_too_large_is_malformed(authority: Authority, now: datetime) -> None:
    answered = respond(request(authority, now) + bytes(MAX_REQUEST_BYTES), [publisher(authority, now)], now)
    assert response(answered).response_status is OCSPResponseStatus.MALFORMED_REQUEST


def test_a_negative_serial_number_is_malformed(authority: Authority, now: datetime) -> None:
    whole, positive, negative = request(authority, now), b"\x02\x03\x0a\x0b\x0c", b"\x02\x03\xff\x0b\x0c"
    assert positive in whole
    answered = respond(whole.replace(positive, negative), [publisher(authority, now)], now)
    assert response(answered).response_status is OCSPResponseStatus.MALFORMED_REQUEST


def test_an_unknown_hash_is_malformed(authority: Authority, now: datetime) -> None:
    sha1, unknown = bytes.fromhex("06052b0e03021a"), bytes.fromhex("06052b0e03027a")
    asked = request(authority, now)
    assert sha1 in asked
    answered = respond(asked.replace(sha1, unknown), [publisher(authority, now)], now)
    assert response(answered).response_status is OCSPResponseStatus.MALFORMED_REQUEST
