"""The root certificate as a configuration profile for iPhone, iPad and Mac.

Owns the property list (Apple's device management, payload com.apple.security.root). Refuses to sign it: a profile that
is signed by a CA which the device does not know yet looks worse to it than one without a signature. Its identifiers
come from the fingerprint, so the same root replaces itself, and another one stands beside it.
"""

from __future__ import annotations

import plistlib
import uuid
from hashlib import sha256

CONTENT_TYPE = "application/x-apple-aspen-config"


def apple_profile(root_der: bytes, root_id: str) -> bytes:
    """Return the profile (XML) that installs a root, always the same for the same root; `root_id` as in its name."""
    name = f"devtls root {root_id}"
    fingerprint = sha256(root_der).hexdigest()
    certificate = {
        "PayloadType": "com.apple.security.root",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"devtls.{root_id}.root",
        # From the fingerprint: the same root replaces itself on the device, another one stands beside it.
        "PayloadUUID": _stable_uuid(f"{fingerprint}/root"),
        "PayloadDisplayName": name,
        "PayloadDescription": "The root certificate of a development CA.",
        "PayloadCertificateFileName": f"devtls-root-{root_id}.cer",
        "PayloadContent": root_der,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"devtls.{root_id}",
        "PayloadUUID": _stable_uuid(fingerprint),
        "PayloadDisplayName": name,
        "PayloadDescription": "Adds the root certificate of a devtls development CA, which can speak for development "
        "names only. Switch it on afterwards: Settings, General, About, Certificate Trust Settings.",
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [certificate],
    }
    return plistlib.dumps(profile)


def _stable_uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:devtls:{name}")).upper()
