"""The list of a CA's intermediates: what is written is read, an earlier CA has none, a later one is not guessed at."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from devtls.errors import StateError
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority, NewKey, create_authority
from devtls.pki.certify import CertificateTemplate
from devtls.pki.names_in_certificates import Kind
from devtls.pki.register import Issued, Revoked, serial_text
from devtls.pki.revocation import load_crl
from devtls.system.machine.private_files import replace_private_file
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.intermediate_list import ListedIntermediate, read_list
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register
from devtls.system.storage.register_file import append_events, read_history
from tests.pki.attacker import of_earlier_profile

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "state")


def earlier_ca(keystore: Keystore) -> Authority:
    """Store a CA as an earlier devtls made it."""
    root = NewKey(new_leaf_key(), new_serial())
    made = create_authority(
        DEFAULT_ZONES, now=NOW, pki_port=20443, root=root, intermediates={"any": NewKey(new_leaf_key(), new_serial())}
    )
    keystore.adopt(of_earlier_profile(made, root.key), NOW)
    return keystore.load(NOW)


def issue(keystore: Keystore, kind: Kind, name: str = "a.test") -> str:
    register = Register(keystore, keystore.load(NOW))
    key = new_leaf_key().public_key()
    certificate = register.issue(CertificateTemplate((name,), kind), key, by="cert", place="x", now=NOW)
    return serial_text(certificate.serial_number)


def on_crl(keystore: Keystore, kind: Kind, at: datetime = NOW) -> set[str]:
    authority = keystore.load(NOW)
    crl = load_crl(keystore.next_crl(authority, at, authority.issuer_for(kind)))
    assert crl.issuer == authority.issuer_for(kind).certificate.subject
    return {serial_text(entry.serial_number) for entry in crl}


def test_a_new_ca_lists_an_intermediate_for_servers_and_one_for_clients(keystore: Keystore) -> None:
    made = keystore.create(DEFAULT_ZONES, NOW)
    assert read_list(keystore.directory_of(made)) == (
        ListedIntermediate("intermediate", "server"),
        ListedIntermediate("client-intermediate", "client"),
    )
    found = keystore.load(NOW)
    assert [(each.name, each.purpose, each.id) for each in found.intermediates] == [
        (each.name, each.purpose, each.id) for each in made.intermediates
    ]
    assert found.profile_gaps == ()


def test_a_ca_of_an_earlier_devtls_has_one_for_both_and_a_renewal_gives_it_two(keystore: Keystore) -> None:
    earlier = earlier_ca(keystore)
    assert not (keystore.directory_of(earlier) / "intermediates.json").exists()
    assert [each.purpose for each in earlier.intermediates] == ["any"]
    assert "URIs" in earlier.profile_gaps[0]
    assert "One intermediate" in earlier.profile_gaps[1]
    serials = {issue(keystore, "server"), issue(keystore, "client")}
    Register(keystore, earlier).revoke(serials, "superseded", NOW)
    assert on_crl(keystore, "server") == on_crl(keystore, "client") == serials
    following = keystore.prepare_next(DEFAULT_ZONES, NOW)
    assert following.profile_gaps == ()
    keystore.switch_to_next(following)
    assert on_crl(keystore, "client") == set()


def test_a_renewal_that_an_earlier_devtls_began_is_made_anew(keystore: Keystore) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    root = NewKey(new_leaf_key(), new_serial())
    made = create_authority(
        DEFAULT_ZONES, now=NOW, pki_port=20443, root=root, intermediates={"any": NewKey(new_leaf_key(), new_serial())}
    )
    begun = of_earlier_profile(made, root.key)
    keystore.adopt(begun, NOW)
    following = keystore.prepare_next(DEFAULT_ZONES, NOW)
    assert following.fingerprint != begun.fingerprint
    assert keystore.prepare_next(DEFAULT_ZONES, NOW).fingerprint == following.fingerprint


def test_what_is_revoked_stands_on_the_crl_of_the_intermediate_that_signed_it(keystore: Keystore) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    server, client = issue(keystore, "server"), issue(keystore, "client")
    register = Register(keystore, authority)
    register.revoke([server, client], "superseded", NOW)
    assert (on_crl(keystore, "server"), on_crl(keystore, "client")) == ({server}, {client})
    later = NOW + timedelta(days=6)
    assert (on_crl(keystore, "server", later), on_crl(keystore, "client", later)) == ({server}, {client})


def test_lines_without_an_issuer_go_by_kind_and_a_revocation_may_name_one(keystore: Keystore) -> None:
    """Lines of an earlier devtls name no issuer; what is in no register is named by the certificate in a file."""
    authority = keystore.create(DEFAULT_ZONES, NOW)
    server, client = issue(keystore, "server"), issue(keystore, "client")
    directory = keystore.directory_of(authority)
    issued = [one for one in read_history(directory).events if isinstance(one, Issued)]
    assert [one.issuer for one in issued] == ["intermediate", "client-intermediate"]
    (directory / "register.jsonl").unlink()
    append_events(directory, [msgspec.structs.replace(one, issuer="") for one in issued])
    append_events(directory, [Revoked(serial=one, at=NOW, reason="superseded") for one in (server, client, "0a", "0b")])
    assert (on_crl(keystore, "server"), on_crl(keystore, "client")) == ({server, "0a", "0b"}, {client})
    Register(keystore, authority).revoke(["0c"], "superseded", NOW, issuers={"0c": "client-intermediate"})
    assert on_crl(keystore, "client") == {client, "0c"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"format": 2, "lists": []}', "later devtls"),
        ("{}", "damaged"),
        ("[", "damaged"),
        ('{"format": 1, "intermediates": []}', "damaged"),
        ('{"format": 1, "intermediates": [{"name": "other", "purpose": "server"}]}', "damaged"),
        ('{"format": 1, "intermediates": [{"name": "intermediate", "purpose": "mail"}]}', "damaged"),
        ('{"format": 1, "intermediates": [{"name": "intermediate", "purpose": "client"}]}', "damaged"),
        (
            '{"format": 1, "intermediates": [{"name": "intermediate", "purpose": "server"},'
            ' {"name": "../x", "purpose": "client"}]}',
            "damaged",
        ),
    ],
)
def test_a_list_of_a_later_version_and_a_damaged_one_are_refused(keystore: Keystore, content: str, said: str) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    replace_private_file(keystore.directory_of(authority) / "intermediates.json", content.encode())
    with pytest.raises(StateError, match=said):
        keystore.load(NOW)


def test_a_purpose_that_the_certificate_has_not_is_refused(keystore: Keystore) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    path = keystore.directory_of(authority) / "intermediates.json"
    replace_private_file(path, path.read_bytes().replace(b'"client"', b'"server"'))
    with pytest.raises(StateError, match="is not for servers alone"):
        keystore.load(NOW)


def test_the_keys_of_every_intermediate_go_first_when_a_ca_is_removed(keystore: Keystore) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    directory = keystore.directory_of(authority)
    keystore.forget()
    assert not directory.exists()


def test_a_further_intermediate_of_a_purpose_is_kept_and_does_not_sign(keystore: Keystore) -> None:
    """Room for spare ones: the first that fits signs."""
    authority = keystore.create(DEFAULT_ZONES, NOW)
    spare = authority.issuer_for("client")
    directory = keystore.directory_of(authority)
    for suffix in (".key", ".pem", ".crl"):
        content = (directory / f"{spare.name}{suffix}").read_bytes()
        replace_private_file(directory / f"spare-1{suffix}", content)
    path = directory / "intermediates.json"
    listed = json.loads(path.read_bytes())
    listed["intermediates"].append({"name": "spare-1", "purpose": "client"})
    replace_private_file(path, json.dumps(listed).encode())
    found = keystore.load(NOW)
    assert [each.name for each in found.intermediates] == ["intermediate", "client-intermediate", "spare-1"]
    assert found.issuer_for("client").name == "client-intermediate"
    assert found.crl_path_of(found.intermediates[2]) == f"/spare-1-{authority.id}.crl"
