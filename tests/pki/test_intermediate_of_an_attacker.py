"""An attacker with a CA's keys before every verifier: identities, purposes and CAs that are not the CA's to give.

The matrix in docs/explanation/certificates.md says the same in a table; a verifier that changes its mind fails here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from devtls.pki.authority import Authority
from devtls.pki.intermediate import Intermediate
from devtls.pki.names_in_certificates import Kind
from tests.conftest import RequireTool
from tests.pki.attacker import (
    ALICE,
    FORBIDDEN,
    UNREACHED,
    Identity,
    forge,
    forge_ca,
    of_earlier_profile,
)
from tests.pki.real_verifiers import VERIFIERS, Case

pytestmark = pytest.mark.engines

EVERY = [*VERIFIERS, "cryptography"]
PASSES = {
    "a common name": {"openssl", "python", "gnutls", "nss", "node", "go"},
    "a mail address in the subject": {"go"},
    "a UPN": {"openssl", "python", "gnutls", "nss", "node", "go", "cryptography"},
    "an internationalised mail address": {"gnutls", "nss", "go", "cryptography"},
    "a host and another common name": set(EVERY),
}
"""What no constraint reaches, and the verifiers that accept it from a CA of today's profile."""


def cryptography(case: Case) -> str:
    policy = PolicyBuilder().store(Store([case.authority.root]))
    between = [*case.between, case.issuer.certificate]
    try:
        if case.kind == "server":
            policy.build_server_verifier(x509.DNSName(case.name)).verify(case.leaf, between)
        else:
            policy.build_client_verifier().verify(case.leaf, between)
    except VerificationError as error:
        return str(error)
    return ""


class Check(Protocol):
    """What a verifier says of a certificate that `issuer` signed, or the CA `below` that the attacker put there."""

    def __call__(
        self, verifier: str, issuer: Intermediate, identity: Identity, kind: Kind, below: Intermediate | None = None
    ) -> str: ...


@pytest.fixture
def check(authority_of_today: Authority, tmp_path: Path, require_tool: RequireTool) -> Check:
    def check(
        verifier: str, issuer: Intermediate, identity: Identity, kind: Kind, below: Intermediate | None = None
    ) -> str:
        authority = authority_of_today
        if issuer not in authority.intermediates:
            authority = of_earlier_profile(authority)
        leaf, key = forge(below or issuer, identity, kind)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        crl = authority.intermediate_crl(number=1, this_update=datetime.now(UTC), issuer=issuer)
        between = (below.certificate,) if below else ()
        case = Case(authority, leaf, key_pem, crl, kind, "alice.dev.local", tmp_path, between)
        return cryptography(case) if verifier == "cryptography" else VERIFIERS[verifier](case, require_tool)

    return check


@pytest.mark.parametrize("verifier", EVERY)
@pytest.mark.parametrize("name", FORBIDDEN)
def test_identities_besides_hosts_in_the_zones_are_refused_by_the_constraints(
    authority_of_today: Authority, check: Check, name: str, verifier: str
) -> None:
    assert check(verifier, authority_of_today.issuer_for("client"), FORBIDDEN[name], "client") != ""


@pytest.mark.parametrize("verifier", EVERY)
@pytest.mark.parametrize("name", PASSES)
def test_identities_that_no_constraint_reaches_are_known(
    authority_of_today: Authority, check: Check, name: str, verifier: str
) -> None:
    """So that the documentation is right, and a verifier that learns to refuse them is noticed."""
    said = check(verifier, authority_of_today.issuer_for("client"), UNREACHED[name], "client")
    assert (said == "") is (verifier in PASSES[name]), said


@pytest.mark.parametrize("verifier", sorted(set(EVERY) - {"java", "nss"}))
@pytest.mark.parametrize(("stolen", "kind"), [("server", "client"), ("client", "server")])
def test_the_intermediate_for_one_purpose_signs_nothing_for_the_other(
    authority_of_today: Authority, check: Check, stolen: Kind, kind: Kind, verifier: str
) -> None:
    """Java and NSS look at the purposes of the leaf alone."""
    assert check(verifier, authority_of_today.issuer_for(stolen), Identity(names=[ALICE]), kind) != ""


@pytest.mark.parametrize("verifier", EVERY)
@pytest.mark.parametrize("kind", ["server", "client"])
def test_a_ca_below_an_intermediate_is_refused(
    authority_of_today: Authority, check: Check, kind: Kind, verifier: str
) -> None:
    issuer = authority_of_today.issuer_for(kind)
    assert check(verifier, issuer, Identity(names=[ALICE]), kind, forge_ca(issuer)) != ""


@pytest.mark.parametrize("verifier", EVERY)
@pytest.mark.parametrize("kind", ["server", "client"])
def test_a_ca_of_the_earlier_profile_signs_for_both_as_before(
    authority_of_today: Authority, check: Check, kind: Kind, verifier: str
) -> None:
    earlier = of_earlier_profile(authority_of_today)
    earlier.check(datetime.now(UTC))
    assert earlier.issuer_for("client") is earlier.intermediate
    assert check(verifier, earlier.intermediate, Identity(names=[ALICE]), kind) == ""
