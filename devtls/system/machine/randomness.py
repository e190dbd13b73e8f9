"""The randomness behind keys and serial numbers.

Owns their sizes. Refuses nothing: the operating system's generator either works or ends the process.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric import ec

from devtls.pki.leaf import TRANSIENT


def new_leaf_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key (10 microseconds)."""
    return ec.generate_private_key(ec.SECP256R1())


def new_serial() -> int:
    """Return a random serial number of 158 bits, for a certificate that is recorded."""
    # At most 20 bytes and positive (RFC 5280 4.1.2.2): the topmost bit stays clear; the next one is TRANSIENT.
    return int.from_bytes(os.urandom(20), "big") >> 2


def new_transient_serial() -> int:
    """Return one for a certificate that stays in this process's memory and is recorded nowhere."""
    return TRANSIENT | new_serial()
