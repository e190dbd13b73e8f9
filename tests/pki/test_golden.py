"""Certificates as bytes: a change of any bit of the profile shows here.

Deterministic signatures make whole files comparable. A wanted change: delete the file in golden/, run the test twice
(the first run writes it and fails), read the difference, commit it.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.names import Hostname
from devtls.pki.authority import Authority, issue_foreign_probe
from devtls.pki.certify import CertificateTemplate, certify
from devtls.pki.signature import deterministic

FIXED_RSA_KEY = rsa.RSAPublicNumbers(65537, 2**2047 + 2**1023 + 1).public_key()
"""Nobody has its other half: only the certificate's form is looked at."""

GOLDEN = Path(__file__).parent / "golden"


def produced(authority: Authority, now: datetime, key: ec.EllipticCurvePrivateKey) -> dict[str, bytes]:
    app = authority.issue(Hostname("app.dev.local"), now=now, key=key, serial=0x3333)
    default = authority.issue_default(now=now, key=key, serial=0x4444)
    probe = issue_foreign_probe(authority, now=now, key=key, serial=0x5555)

    def certified(order: CertificateTemplate, public_key: CertificatePublicKeyTypes, serial: int) -> bytes:
        return certify(authority, order, public_key, now=now, serial=serial).public_bytes(Encoding.PEM)

    names = ("app.dev.local", "*.app.dev.local", ip_address("127.0.0.1"), ip_address("::1"))
    p384 = ec.derive_private_key(1004, ec.SECP384R1()).public_key()
    return {
        "root.pem": authority.root_pem,
        "intermediate.pem": authority.intermediate_pem,
        "app.pem": app.chain_pem.removesuffix(authority.intermediate_pem),
        "default.pem": default.chain_pem.removesuffix(authority.intermediate_pem),
        "probe.pem": probe.chain_pem.removesuffix(authority.intermediate_pem),
        "server.pem": certified(CertificateTemplate(names, days=30), key.public_key(), 0x6666),
        "server-rsa.pem": certified(CertificateTemplate(("db.test",), ocsp=True), FIXED_RSA_KEY, 0x7777),
        "client.pem": certified(CertificateTemplate(("alice.dev.local",), "client", days=825), p384, 0x8888),
        "root.crl": authority.root_crl_der,
        "intermediate.crl": authority.intermediate_crl(number=1, this_update=now),
    }


def comparable(name: str, content: bytes) -> bytes:
    if deterministic():
        return content
    if name.endswith(".crl"):
        return x509.load_der_x509_crl(content).tbs_certlist_bytes
    return x509.load_pem_x509_certificate(content).tbs_certificate_bytes


@pytest.mark.parametrize(
    "name",
    [
        "root.pem",
        "intermediate.pem",
        "app.pem",
        "default.pem",
        "probe.pem",
        "server.pem",
        "server-rsa.pem",
        "client.pem",
        "root.crl",
        "intermediate.crl",
    ],
)
def test_same_keys_serials_and_moment_give_the_same_bytes(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey, name: str
) -> None:
    content = produced(authority, now, leaf_key)[name]
    path = GOLDEN / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        pytest.fail(f"{name} was written: look at it and run again")
    assert comparable(name, content) == comparable(name, path.read_bytes())
