"""A CA that is the same in every run: fixed keys, serials and moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki.authority import Authority, NewKey, create_authority

FIXED_NOW = datetime(2026, 11, 23, 12, 30, 45, 678901, tzinfo=UTC)


def fixed_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, ec.SECP256R1())


def fixed_authority(now: datetime, zones: Sequence[Hostname] = DEFAULT_ZONES) -> Authority:
    return create_authority(
        zones,
        now=now,
        pki_port=20443,
        root=NewKey(fixed_key(1001), 0x1111),
        intermediates={"server": NewKey(fixed_key(1002), 0x2222), "client": NewKey(fixed_key(1010), 0x2223)},
    )


@pytest.fixture
def now() -> datetime:
    return FIXED_NOW


@pytest.fixture
def authority(now: datetime) -> Authority:
    return fixed_authority(now)


@pytest.fixture
def leaf_key() -> ec.EllipticCurvePrivateKey:
    return fixed_key(1003)


@pytest.fixture
def authority_of_today() -> Authority:
    return fixed_authority(datetime.now(UTC))


@pytest.fixture
def authority_without_localhost(now: datetime) -> Authority:
    return fixed_authority(now, DEFAULT_ZONES[:1])


@pytest.fixture
def authority_of_last_year() -> Authority:
    return fixed_authority(datetime.now(UTC) - timedelta(days=365))
