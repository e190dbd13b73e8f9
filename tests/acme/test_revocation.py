"""Who may revoke what, and why (RFC 8555 7.6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.jwk import JWKEC

from devtls.acme.messages import Revoke
from devtls.acme.model import AcmeCertificate, Authorization
from devtls.acme.problems import Problem
from tests.acme.client import NOW, OTHER_KEY, Client, b64, problem, registered

CERTIFICATE_KEY = ec.derive_private_key(99, ec.SECP256R1())
SIGNER = ec.derive_private_key(98, ec.SECP256R1())
SERIAL = 0xABCDEF


def certificate(*names: str, key: Any = CERTIFICATE_KEY, alternative: bool = True) -> bytes:
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(SERIAL)
    builder = builder.public_key(key.public_key()).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=90))
    if alternative:
        names = names or ("web.test",)
        found = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(found, critical=True)
    return builder.sign(SIGNER, SHA256()).public_bytes(Encoding.DER)


CERTIFICATE = certificate()


def ordered(client: Client) -> None:
    """Give the client the order that the certificate came from."""
    client.order("web.test")
    (order,) = client.world.ledger.orders.values()
    issued = AcmeCertificate("", f"{SERIAL:x}", NOW + timedelta(days=90))
    client.world.ledger.orders[order.id] = msgspec.structs.replace(order, status="valid", certificate=issued)


def wanted(der: bytes, **more: Any) -> dict[str, Any]:
    return {"certificate": b64(der), **more}


def test_the_account_that_ordered_a_certificate_may_revoke_it() -> None:
    client = registered()
    ordered(client)
    outcome = client.post("/revoke-cert", wanted(CERTIFICATE, reason=4))
    assert (outcome.response, outcome.work) == (None, Revoke(CERTIFICATE, "superseded"))
    done = client.world.server.revoked(None, client.world.context())
    assert (done.status, done.body) == (200, b"")
    again = client.world.server.revoked(Problem("alreadyRevoked", "It is."), client.world.context())
    assert problem(again) == (400, "alreadyRevoked")


def test_whoever_has_the_certificates_key_may_revoke_it() -> None:
    client = registered()
    holder = Client(client.world, JWKEC(key=CERTIFICATE_KEY))
    assert holder.post("/revoke-cert", wanted(CERTIFICATE)).work == Revoke(CERTIFICATE, "unspecified")
    stranger = Client(client.world, OTHER_KEY)
    assert problem(stranger.ask("/revoke-cert", wanted(certificate()))) == (403, "unauthorized")


def test_an_account_that_showed_that_all_names_are_its_own_may_revoke() -> None:
    client = registered()
    client.order("web.test", "api.test")
    (order,) = client.world.ledger.orders.values()
    valid = tuple(Authorization(name, (), "valid") for name in order.names)
    client.world.ledger.orders[order.id] = msgspec.structs.replace(order, authorizations=valid)
    assert client.post("/revoke-cert", wanted(certificate("web.test", "api.test"))).work is not None
    for names in (("web.test", "other.test"), ("other.test",)):
        assert problem(client.ask("/revoke-cert", wanted(certificate(*names)))) == (403, "unauthorized")
    other = registered(client.world, OTHER_KEY)
    assert problem(other.ask("/revoke-cert", wanted(certificate()))) == (403, "unauthorized")


@pytest.mark.parametrize("reason", [2, 6, 7, 8, 10, 11, -1])
def test_reasons_that_are_not_a_clients_are_refused(reason: int) -> None:
    client = registered()
    ordered(client)
    assert problem(client.ask("/revoke-cert", wanted(certificate(), reason=reason))) == (400, "badRevocationReason")


@pytest.mark.parametrize("der", [b"", b"no certificate", certificate(alternative=False)])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    assert problem(registered().ask("/revoke-cert", wanted(der))) == (400, "malformed")


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.derive_private_key(3, ec.SECP224R1())])
def test_keys_that_sign_no_request_revoke_nothing(key: Any) -> None:
    response = Client(registered().world, OTHER_KEY).ask("/revoke-cert", wanted(certificate(key=key)))
    assert problem(response) == (403, "unauthorized")
