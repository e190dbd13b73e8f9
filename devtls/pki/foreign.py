"""A leaf that must be refused: the proof that the name constraints work.

Owns the one way round `Signer.issue`. Refuses to be anything else: the name is fixed and reserved (RFC 6761), the
life is five minutes, and nothing but the trust proof may import it. The caller drops the key at once.
"""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from devtls.pki.authority import Authority
from devtls.pki.leaf import PROFILE, Leaf, sign_leaf, whole_seconds

FOREIGN_NAME = "devtls-probe.invalid"
"""A name that no CA of ours permits and no DNS will ever hold."""


def issue_foreign_probe(authority: Authority, *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
    """Return an otherwise perfect leaf for FOREIGN_NAME, valid for five minutes from `now`."""
    start = whole_seconds(now)
    return sign_leaf(
        authority.signer,
        (FOREIGN_NAME,),
        not_before=start,
        not_after=start + PROFILE.probe_lifetime,
        key=key,
        serial=serial,
    )
