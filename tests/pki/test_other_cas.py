"""CAs besides the one that devtls makes, before every verifier: handed-out intermediates, a company's, mkcert's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import structs

from devtls.names import Hostname, parse_zone
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate, certify
from devtls.pki.delegation import checked_key, delegate
from devtls.pki.imported import ImportBundle, validate_import
from devtls.pki.intermediate import Intermediate
from devtls.pki.revocation import build_crl, revoked_entry
from tests.conftest import RequireTool
from tests.pki.conftest import fixed_key
from tests.pki.elsewhere import Made, make, mkcert, new_key, permitting
from tests.pki.real_verifiers import VERIFIERS, WITHOUT_CRLS, Case, run
from tests.pki.test_verifiers import handshake

pytestmark = pytest.mark.engines

PARSE = partial(parse_zone, is_public_suffix=lambda _name: False)


def delegated(own: Authority, kind: str, *zones: str) -> Authority:
    """Return the CA of a colleague, below the root of `own`."""
    key, now = new_key(kind), datetime.now(UTC)
    certificate = delegate(
        own,
        fixed_key(1001),
        checked_key(key.public_key()),
        zones=[Hostname(zone) for zone in zones],
        now=now,
        days=365,
        serial=0x3333,
    )
    return imported(Made(certificate, key), own.root_crl_der, Made(own.root, fixed_key(1001)))


def imported(issuer: Made, root_crl: bytes, *above: Made) -> Authority:
    brought = ImportBundle(issuer.certificate, issuer.key, tuple(each.certificate for each in above), root_crl)
    return validate_import(brought, zones=(), parse_zone=PARSE, now=datetime.now(UTC), pki_port=20443).authority


def two_tiers(kind: str, called: bytes = b"") -> Authority:
    """Return a company's CA, limited on the intermediate, with both lists."""
    now, key = datetime.now(UTC), new_key(kind)
    root = make("Corp Root", key=key, path_length=1, called=called and called + b"root")
    limits = permitting("dev.local", networks=True)
    issuing = make("Corp Dev", by=root, key=new_key(kind), path_length=0, constraints=limits, called=called)
    crl = build_crl(root.certificate, key, number=1, this_update=now, next_update=now + timedelta(days=30))
    return imported(issuing, crl.public_bytes(Encoding.DER), root)


CAS: dict[str, Callable[[Authority], Authority]] = {
    "colleague": lambda own: delegated(own, "ec"),
    "colleague with RSA": lambda own: delegated(own, "rsa"),
    "colleague with one zone": lambda own: delegated(own, "ec", "dev.local"),
    "company": lambda _own: two_tiers("ec"),
    "company with RSA": lambda _own: two_tiers("rsa"),
    "company with key identifiers of its own": lambda _own: two_tiers("ec", b"another identifier"),
}


def make_case(authority: Authority, directory: Path, name: str = "app.dev.local") -> Case:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    leaf = certify(authority, CertificateTemplate((Hostname(name),)), key.public_key(), now=now, serial=0x1234)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    crl = authority.intermediate_crl(number=1, this_update=now)
    return Case(authority, leaf, key_pem, crl, name=name, directory=directory)


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("kind", CAS)
def test_what_they_sign_is_accepted(
    authority_of_today: Authority, kind: str, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    assert VERIFIERS[verifier](make_case(CAS[kind](authority_of_today), tmp_path), require_tool) == ""


@pytest.mark.parametrize("verifier", sorted(VERIFIERS.keys() - WITHOUT_CRLS))
@pytest.mark.parametrize("kind", ["colleague", "company with RSA"])
def test_what_they_revoked_is_refused(
    authority_of_today: Authority, kind: str, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    case, now = make_case(CAS[kind](authority_of_today), tmp_path), datetime.now(UTC)
    entry = revoked_entry(case.leaf.serial_number, now, "key-compromise")
    revoked = replace(case, crl=case.authority.intermediate_crl(number=2, this_update=now, revoked=[entry]))
    assert "revoked" in VERIFIERS[verifier](revoked, require_tool).lower()


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_an_intermediate_for_one_zone_speaks_for_no_other_of_the_roots(
    authority_of_today: Authority, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    case = make_case(delegated(authority_of_today, "ec", "dev.local"), tmp_path, "app.test")
    said = VERIFIERS[verifier](case, require_tool).lower()
    assert any(word in said for word in ("permitted", "name constraints", "not trusted")), said


@pytest.mark.parametrize("verifier", sorted(VERIFIERS.keys() - WITHOUT_CRLS))
def test_a_revoked_intermediate_is_refused(
    authority_of_today: Authority, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    """With a root's key that was kept, its list can be signed again."""
    case, now = make_case(delegated(authority_of_today, "ec"), tmp_path), datetime.now(UTC)
    entry = revoked_entry(0x3333, now, "ca-compromise")
    crl = authority_of_today.root_crl(fixed_key(1001), number=2, this_update=now, revoked=[entry])
    theirs, root = case.authority, authority_of_today.root
    stolen = Authority(root, theirs.intermediate, crl, 20443, limits=theirs.limits)
    assert "revoked" in VERIFIERS[verifier](replace(case, authority=stolen), require_tool).lower()
    assert "was revoked on" in stolen.withdrawn_in_words


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_what_another_intermediate_signed_is_accepted_after_that(
    authority_of_today: Authority, verifier: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    now, entry = datetime.now(UTC), revoked_entry(0x4444, datetime.now(UTC), "hold")
    crl = authority_of_today.root_crl(fixed_key(1001), number=2, this_update=now, revoked=[entry])
    case = make_case(structs.replace(authority_of_today, root_crl_der=crl), tmp_path)
    assert VERIFIERS[verifier](case, require_tool) == ""


def test_a_leaf_of_mkcerts_root_is_accepted_by_openssl_and_python(tmp_path: Path, require_tool: RequireTool) -> None:
    authority = imported(mkcert(), b"")
    leaf = authority.issue(
        Hostname("app.test"), now=datetime.now(UTC), key=ec.generate_private_key(ec.SECP256R1()), serial=7
    )
    handshake(authority, leaf, "app.test", tmp_path)
    (tmp_path / "root.pem").write_bytes(authority.root_pem)
    (tmp_path / "leaf.pem").write_bytes(leaf.chain_pem)
    openssl = require_tool("openssl", "apt-get install openssl")
    options = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", "app.test", "-CAfile", "root.pem"]
    assert run([openssl, "verify", *options, "leaf.pem"], tmp_path, "leaf.pem: OK") == ""
    assert isinstance(authority.intermediate, Intermediate)
