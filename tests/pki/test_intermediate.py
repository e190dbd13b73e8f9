"""The intermediates of a CA: who signs what, what belongs on whose CRL, and what an earlier profile lacks."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec.structs import replace

from devtls.errors import CertificateError
from devtls.names import Hostname
from devtls.pki.authority import Authority
from devtls.pki.imported import ImportBundle, validate_import
from devtls.pki.intermediate import Intermediate, profile_gaps
from devtls.pki.profile import build_intermediate
from devtls.pki.register import History, Issued, RecordedKind, Revoked
from devtls.pki.revocation import entries_for, load_crl
from tests.pki.attacker import of_earlier_profile
from tests.pki.conftest import fixed_key

ROLES = ("intermediate", "client intermediate")


def test_each_purpose_has_an_intermediate_that_signs_nothing_else(authority: Authority, now: datetime) -> None:
    authority.check(now)
    server, client = authority.intermediates
    assert (server.signs("server"), server.signs("client")) == (True, False)
    assert (client.signs("server"), client.signs("client")) == (False, True)
    assert (authority.issuer_for("server"), authority.issuer_for("client")) == (server, client)
    names = [each.certificate.subject.rfc4514_string() for each in authority.intermediates]
    assert names == [
        f"CN=devtls intermediate {server.id},O=devtls",
        f"CN=devtls client intermediate {client.id},O=devtls",
    ]
    assert authority.certificates == (server.certificate, client.certificate, authority.root)
    assert authority.path_of(client) == (client.certificate, authority.root)
    assert authority.profile_gaps == ()


def test_a_ca_of_the_earlier_profile_has_one_for_both_and_says_what_it_lacks(
    authority: Authority, now: datetime
) -> None:
    earlier = of_earlier_profile(authority)
    earlier.check(now)
    assert earlier.issuer_for("server") is earlier.issuer_for("client") is earlier.intermediate
    assert len(earlier.profile_gaps) == 2
    gaps = list(profile_gaps(authority.root, earlier.intermediates))
    assert gaps == ["One intermediate signs for servers and clients alike; a new CA has one for each."]


def test_a_key_of_another_and_a_purpose_of_another_are_refused(authority: Authority, now: datetime) -> None:
    client = authority.issuer_for("client")
    for wrong, said in (
        (Intermediate(client.certificate, fixed_key(9), "client", client.name), "does not belong"),
        (Intermediate(client.certificate, client.key, "server", client.name), "is not for servers alone"),
        (Intermediate(authority.root, fixed_key(1001), "client", client.name), "is not for clients alone"),
    ):
        with pytest.raises(CertificateError, match=said):
            replace(authority, others=(wrong,)).check(now)


def test_what_was_imported_for_servers_alone_signs_no_clients(authority: Authority, now: datetime) -> None:
    bundle = ImportBundle(authority.intermediate.certificate, authority.intermediate.key, (authority.root,))
    ca = validate_import(bundle, zones=(), parse_zone=Hostname, now=now, pki_port=1)
    assert "It is for servers alone: devtls cert --client signs nothing with it." in ca.differences
    assert ca.authority.profile_gaps == ()
    with pytest.raises(CertificateError, match="not for clients"):
        ca.authority.issuer_for("client")
    (own,) = ca.authority.intermediates
    assert ca.authority.serials_of(own, History((issued("0a", "client", now),))) == {"0a"}


def issued(serial: str, kind: RecordedKind, now: datetime, issuer: str = "") -> Issued:
    return Issued(
        serial=serial,
        at=now,
        by="cert",
        kind=kind,
        names=("a.test",),
        not_before=now,
        not_after=now + timedelta(days=1),
        key_sha256="",
        sha256="",
        place="",
        issuer=issuer,
    )


def test_a_serial_number_belongs_to_the_intermediate_that_the_register_names_or_to_that_for_its_kind(
    authority: Authority, now: datetime
) -> None:
    server, client = authority.intermediates
    history = History(
        (
            issued("0a", "server", now),
            issued("0b", "client", now),
            issued("0c", "server", now, client.name),
            issued("0d", "intermediate", now),
            issued("0e", "server", now, "spare-1"),
            Revoked(serial="0f", at=now, reason="superseded"),
            Revoked(serial="10", at=now, reason="superseded", issuer=client.name),
        )
    )
    assert authority.serials_of(server, history) == {"0a", "0f"}
    assert authority.serials_of(client, history) == {"0b", "0c", "10"}
    assert history.issuer_of("0d") == ("", "intermediate")
    assert history.intermediates == {"0d"}
    entries = entries_for(History((*history.events, Revoked(serial="0d", at=now, reason="hold"))), None, {"0d"})
    crl = load_crl(authority.root_crl(fixed_key(1001), number=2, this_update=now, revoked=entries))
    assert [entry.serial_number for entry in crl] == [0x0D]


def test_a_ca_from_elsewhere_without_purposes_signs_everything(now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    bare = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    bare = bare.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    made = Intermediate(bare.sign(key, SHA256()), key)
    assert made.signs("server")
    assert made.signs("client")


def test_an_intermediate_that_signs_nothing_today_ends_when_it_likes(authority: Authority, now: datetime) -> None:
    """Room for spare ones, with a shorter life than the CA's."""
    key = fixed_key(7)
    begin = authority.root.not_valid_before_utc
    certificate = build_intermediate(
        key.public_key(),
        authority.root,
        fixed_key(1001),
        zones=authority.zones,
        serial=9,
        crl="http://127.0.0.1/x.crl",
        purpose="server",
        life=(begin, begin + timedelta(days=30)),
    )
    spare = Intermediate(certificate, key, "server", "spare-1")
    with_spare = replace(authority, others=(*authority.others, spare))
    with_spare.check(now)
    assert with_spare.issuer_for("server") is authority.intermediate
    assert with_spare.not_after == authority.not_after
    assert spare.certificate in with_spare.certificates
