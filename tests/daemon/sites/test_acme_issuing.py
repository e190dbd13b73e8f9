"""What makes a certificate request fit an ACME order, and what can be revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from devtls.acme.messages import Issue, Renewal, Revoke
from devtls.acme.model import AcmeCertificate
from devtls.acme.problems import Problem
from devtls.acme.renewal import at_once, window
from devtls.daemon.sites.acme_issuing import advise, issue, revoke
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register

pytestmark = pytest.mark.may_block

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = ec.derive_private_key(7, ec.SECP256R1())


@pytest.fixture
def keystore(paths: Paths) -> Keystore:
    found = Keystore(paths.state_dir)
    found.create(DEFAULT_ZONES, NOW)
    return found


def csr(*names: str, key: Any = KEY, common: str = "") -> bytes:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        found = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(found, critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def work(request: bytes, *names: str, account_key: bytes = b"another") -> Issue:
    return Issue("order", request, names or ("web.test",), account_key)


def certificate_in(done: AcmeCertificate | Problem) -> x509.Certificate:
    assert isinstance(done, AcmeCertificate), done
    return x509.load_pem_x509_certificates(done.chain_pem.encode())[0]


@pytest.mark.parametrize("request_", [csr("web.test"), csr("WEB.test", common="web.test"), csr(common="web.test")])
def test_a_request_for_the_names_of_the_order_is_signed_and_recorded(keystore: Keystore, request_: bytes) -> None:
    done = issue(keystore, work(request_), NOW, ocsp=False)
    leaf = certificate_in(done)
    authority = keystore.load(NOW)
    leaf.verify_directly_issued_by(authority.intermediate.certificate)
    assert leaf.public_key() == KEY.public_key() and not list(leaf.subject)
    (recorded,) = Register(keystore, authority).history().issued.values()
    assert isinstance(done, AcmeCertificate)
    assert (recorded.by, recorded.names, recorded.serial) == ("acme", ("web.test",), done.serial)
    assert done.not_after == leaf.not_valid_after_utc


@pytest.mark.parametrize("named", [True, False])
def test_the_responder_is_named_where_the_file_says_so(keystore: Keystore, named: bool) -> None:
    leaf = certificate_in(issue(keystore, work(csr("web.test")), NOW, ocsp=named))
    kinds = {type(extension.value) for extension in leaf.extensions}
    assert (x509.AuthorityInformationAccess in kinds) is named


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (b"no request", "no certificate request"),
        (csr("web.test", "more.test"), "The request is for web.test, more.test"),
        (csr("other.test"), "The request is for other.test, the order for web.test"),
        (csr("web.example.com"), "lies in none"),
        (csr(), "names no host"),
        (csr("web.test")[:-1] + b"\0", "not signed with its own key"),
        (csr("web.test", key=ed25519.Ed25519PrivateKey.generate()), "Ed25519"),
        (csr("web.test", key=rsa.generate_private_key(65537, 1024)), "1024 bits"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(keystore: Keystore, request_: bytes, words: str) -> None:
    problem = issue(keystore, work(request_), NOW, ocsp=False)
    assert isinstance(problem, Problem) and problem.kind == "badCSR" and words in problem.detail
    assert not Register(keystore, keystore.load(NOW)).history().issued


def test_the_accounts_key_is_no_certificates_key(keystore: Keystore) -> None:
    own = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    problem = issue(keystore, work(csr("web.test"), account_key=own), NOW, ocsp=False)
    assert isinstance(problem, Problem) and problem.kind == "badCSR"


def test_a_certificate_is_revoked_once_with_its_reason(keystore: Keystore) -> None:
    der = certificate_in(issue(keystore, work(csr("web.test")), NOW, ocsp=False)).public_bytes(Encoding.DER)
    assert revoke(keystore, Revoke(der, "superseded"), NOW) is None
    again = revoke(keystore, Revoke(der, "unspecified"), NOW)
    assert again is not None and again.kind == "alreadyRevoked"
    authority = keystore.load(NOW)
    (revoked,) = Register(keystore, authority).history().revoked.values()
    assert revoked.reason == "superseded"


def test_others_certificates_are_not_ours_to_revoke(keystore: Keystore) -> None:
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(5)
    builder = builder.public_key(KEY.public_key()).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    der = builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)
    problem = revoke(keystore, Revoke(der, "unspecified"), NOW)
    assert problem is not None and problem.kind == "unauthorized"


def named(leaf: x509.Certificate, authority: Authority) -> Renewal:
    issuer = authority.intermediate.certificate
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    return Renewal(identifier, leaf.serial_number)


def test_a_certificate_is_renewed_at_once_when_it_was_revoked_or_its_ca_replaced(keystore: Keystore) -> None:
    authority = keystore.load(NOW)
    first, second = (
        certificate_in(issue(keystore, work(csr(name), name), NOW, ocsp=False)) for name in ("a.test", "b.test")
    )
    assert advise(keystore, named(first, authority), NOW) == window(
        first.not_valid_before_utc, first.not_valid_after_utc
    )
    revoke(keystore, Revoke(first.public_bytes(Encoding.DER), "superseded"), NOW)
    assert advise(keystore, named(first, authority), NOW) == at_once(NOW)
    assert advise(keystore, named(second, authority), NOW) != at_once(NOW)
    keystore.switch_to_next(keystore.prepare_next(DEFAULT_ZONES, NOW))
    assert advise(keystore, named(second, authority), NOW) == at_once(NOW)
    third = certificate_in(issue(keystore, work(csr("c.test"), "c.test"), NOW, ocsp=False))
    assert advise(keystore, named(third, keystore.load(NOW)), NOW) != at_once(NOW)
    keystore.retire({authority.fingerprint})
    assert advise(keystore, named(second, authority), NOW) is None
    assert advise(keystore, Renewal(b"x" * 20, first.serial_number), NOW) is None
