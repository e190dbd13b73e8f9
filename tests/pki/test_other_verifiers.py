"""Every kind of certificate before every verifier: good ones are accepted, revoked and foreign ones refused."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from devtls.names import Hostname
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate, certify
from devtls.pki.names_in_certificates import Kind
from devtls.pki.revocation import revoked_entry
from tests.conftest import RequireTool
from tests.pki.real_verifiers import VERIFIERS, WITHOUT_CRLS, Case

pytestmark = pytest.mark.engines

NAMES = ("app.dev.local", "*.app.dev.local", ip_address("127.0.0.1"), ip_address("::1"))
ORDERS = {
    "server": CertificateTemplate(("app.dev.local",), ocsp=True),
    "several names": CertificateTemplate(NAMES, days=825),
    "client": CertificateTemplate(("alice.dev.local",), "client"),
    "client with a long name": CertificateTemplate(("a" * 60 + ".dev.local",), "client"),
}


def make_key(kind: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
        case _:
            return ec.generate_private_key(ec.SECP256R1())


def make_case(
    authority: Authority, order: CertificateTemplate, directory: Path, key_type: str = "P-256", *, days_ago: int = 0
) -> Case:
    key, now = make_key(key_type), datetime.now(UTC)
    leaf = certify(authority, order, key.public_key(), now=now - timedelta(days=days_ago), serial=0x1234)
    return Case(
        authority,
        leaf,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        authority.intermediate_crl(number=1, this_update=now, issuer=authority.issuer_for(order.kind)),
        order.kind,
        directory=directory,
    )


def revoked(case: Case) -> Case:
    now = datetime.now(UTC)
    entry = revoked_entry(case.leaf.serial_number, now, "key-compromise")
    crl = case.authority.intermediate_crl(number=2, this_update=now, revoked=[entry], issuer=case.issuer)
    return replace(case, crl=crl)


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("kind", ORDERS)
def test_every_kind_is_accepted(
    authority_of_today: Authority, kind: str, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    case = make_case(authority_of_today, ORDERS[kind], tmp_path)
    assert VERIFIERS[verifier](case, require_tool) == ""


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("key_type", ["RSA", "P-384"])
def test_every_kind_of_key_is_accepted(
    authority_of_today: Authority, key_type: str, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    case = make_case(authority_of_today, ORDERS["server"], tmp_path, key_type)
    assert VERIFIERS[verifier](case, require_tool) == ""


@pytest.mark.parametrize("verifier", sorted(VERIFIERS.keys() - WITHOUT_CRLS))
@pytest.mark.parametrize("kind", ["server", "client"])
def test_a_revoked_certificate_is_refused(
    authority_of_today: Authority, kind: str, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    case = revoked(make_case(authority_of_today, ORDERS[kind], tmp_path))
    assert "revoked" in VERIFIERS[verifier](case, require_tool).lower()


# NSS and GnuTLS know no list that is too old: they go on with the last one that they have.
@pytest.mark.parametrize("verifier", sorted(VERIFIERS.keys() - WITHOUT_CRLS - {"nss", "gnutls"}))
def test_a_list_that_is_too_old_is_not_believed(
    authority_of_last_year: Authority, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    case = make_case(authority_of_last_year, ORDERS["server"], tmp_path)
    late = authority_of_last_year.intermediate_crl(number=1, this_update=datetime.now(UTC) - timedelta(days=8))
    assert VERIFIERS[verifier](replace(case, crl=late), require_tool) != ""


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_certificate_that_has_expired_is_refused(
    authority_of_last_year: Authority, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    case = make_case(authority_of_last_year, ORDERS["server"], tmp_path, days_ago=100)
    assert "expired" in VERIFIERS[verifier](case, require_tool).lower()


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_name_outside_the_zones_is_refused(
    authority_of_today: Authority, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    """A thief with the key can sign it; the constraints make it worthless."""
    order = CertificateTemplate((Hostname("evil.example.com"),))
    case = replace(make_case(authority_of_today, order, tmp_path), name="evil.example.com")
    said = VERIFIERS[verifier](case, require_tool).lower()
    assert any(word in said for word in ("permitted", "name constraints", "not trusted", "not permitted")), said


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("asked", ["server", "client"])
def test_a_certificate_for_another_purpose_is_refused(
    authority_of_today: Authority, asked: Kind, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    order = CertificateTemplate(("app.dev.local",), "client" if asked == "server" else "server")
    case = replace(make_case(authority_of_today, order, tmp_path), kind=asked)
    said = VERIFIERS[verifier](case, require_tool).lower()
    assert any(word in said for word in ("purpose", "usage", "type not approved", "target certificate constraints")), (
        said
    )


def test_the_lists_are_read_by_openssl_crl(
    authority_of_today: Authority, tmp_path: Path, require_tool: RequireTool
) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    directory = revoked(make_case(authority_of_today, ORDERS["server"], tmp_path)).write()
    argv = [
        openssl,
        "crl",
        "-inform",
        "DER",
        "-in",
        "intermediate.crl",
        "-noout",
        "-text",
        "-CAfile",
        "intermediate.pem",
    ]
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=20, check=True)
    assert "verify OK" in done.stderr
    for part in ("Version 2", "X509v3 CRL Number", "Serial Number: 1234", "Key Compromise", "Authority Key Identifier"):
        assert part in done.stdout
    assert x509.load_der_x509_crl((directory / "intermediate.crl").read_bytes()).is_signature_valid(
        authority_of_today.intermediate.key.public_key()
    )
