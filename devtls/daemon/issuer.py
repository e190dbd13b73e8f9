"""The issuer of leaves in a running proxy: the CA joined to keys, serial numbers, the clock and a path for OpenSSL.

Owns the joint between pki, system and net: net knows none of them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from devtls.errors import InvalidName, NoAuthority
from devtls.names import DEFAULT_ZONES, Hostname, parse_hostname
from devtls.net.tls.contexts import Issuer
from devtls.pki.leaf import Leaf, Signer
from devtls.system.machine.pem import pem_path
from devtls.system.machine.randomness import new_leaf_key, new_transient_serial
from devtls.system.storage.keystore import Keystore


def load_or_create_signer(keystore: Keystore, now: datetime) -> tuple[Signer, bool]:
    """Return the CA, and whether it was made, because there was none. Raises StateError; blocks."""
    try:
        return keystore.load_signer(now), False
    except NoAuthority:
        # "or create", since another start may do so at the same moment.
        return keystore.load_or_create(DEFAULT_ZONES, now).signer, True


def make_issuer(signer: Signer, state_dir: Path) -> Issuer:
    """Return the Issuer that mints with `signer`."""

    def issue(name: Hostname | None) -> Leaf:
        now, key, serial = datetime.now(UTC), new_leaf_key(), new_transient_serial()
        # A client without SNI (RFC 6066 3), such as one that was given an IP address.
        if name is None:
            return signer.issue_default(now=now, key=key, serial=serial)
        return signer.issue(name, now=now, key=key, serial=serial)

    def permits(name: str) -> bool:
        try:
            return signer.permits(parse_hostname(name))
        except InvalidName:
            # SNI is whatever the client sent: no name is no error of ours.
            return False

    return Issuer(issue=issue, permits=permits, pem_path=partial(pem_path, state_dir))
