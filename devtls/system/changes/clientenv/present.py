"""The root of the CA that signs now, with the older ones that are still trusted, as stores and files need it.

Owns the joint between key store and stores. Refuses nothing: an older root whose file is gone is left out, since the
record of installations knows it by its fingerprint.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding

from devtls.pki.authority import Authority
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.storage.keystore import Keystore


def present_root(keystore: Keystore, authority: Authority) -> RootCertificate:
    """Return the root of `authority`, which `keystore` loaded; raises StateError."""
    older = tuple(root.public_bytes(Encoding.DER) for root in keystore.older_roots())
    return RootCertificate(authority.id, authority.root_der, keystore.state_dir / ROOT_FILE, older)
