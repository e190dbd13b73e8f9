from __future__ import annotations

import plistlib
import uuid
from datetime import UTC, datetime

from cryptography import x509

from devtls.pki.apple_profile import apple_profile
from devtls.pki.authority import Authority


def test_it_holds_the_root_and_nothing_secret(authority: Authority) -> None:
    data = apple_profile(authority.root_der, authority.id)
    profile = plistlib.loads(data)
    assert (profile["PayloadType"], profile["PayloadVersion"]) == ("Configuration", 1)
    assert profile["PayloadRemovalDisallowed"] is False
    (payload,) = profile["PayloadContent"]
    assert (payload["PayloadType"], payload["PayloadVersion"]) == ("com.apple.security.root", 1)
    assert x509.load_der_x509_certificate(payload["PayloadContent"]) == authority.root
    assert b"PRIVATE" not in data
    assert data.startswith(b"<?xml")


def test_a_device_knows_the_same_root_again_and_tells_others_apart(
    authority: Authority, authority_without_localhost: Authority
) -> None:
    first = apple_profile(authority.root_der, authority.id)
    assert first == apple_profile(authority.root_der, authority.id)
    profiles = [plistlib.loads(first), plistlib.loads(apple_profile(authority_without_localhost.root_der, "0badcafe"))]
    both = [part for profile in profiles for part in (profile, *profile["PayloadContent"])]
    assert len({part["PayloadUUID"] for part in both}) == len({part["PayloadIdentifier"] for part in both}) == 4
    assert all(str(uuid.UUID(part["PayloadUUID"])).upper() == part["PayloadUUID"] for part in both)


def test_it_is_called_what_the_certificate_is_called(authority_of_today: Authority) -> None:
    """iOS lists a root for its trust switch by its common name."""
    profile = plistlib.loads(apple_profile(authority_of_today.root_der, authority_of_today.id))
    (name,) = authority_of_today.root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert profile["PayloadDisplayName"] == profile["PayloadContent"][0]["PayloadDisplayName"] == name.value
    assert authority_of_today.root.not_valid_after_utc > datetime.now(UTC)
