"""The joint between pki and net: leaves under the authority, for permitted names only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.daemon.issuer import make_issuer
from devtls.errors import NameNotPermitted
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.net.tls.contexts import Issuer
from devtls.system.storage.keystore import Keystore


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return make_issuer(Keystore(tmp_path / "ca").create(DEFAULT_ZONES, datetime.now(UTC)).signer, tmp_path)


def test_each_leaf_is_fresh(issuer: Issuer) -> None:
    first, second = (issuer.issue(Hostname("app.dev.local")) for _ in range(2))
    assert first.usable(datetime.now(UTC))
    assert first.key_pem != second.key_pem


def test_the_default_leaf_has_no_name_asked_for(issuer: Issuer) -> None:
    assert issuer.issue(None).usable(datetime.now(UTC))


def test_names_outside_the_zones_are_refused(issuer: Issuer) -> None:
    with pytest.raises(NameNotPermitted):
        issuer.issue(Hostname("example.com"))


@pytest.mark.parametrize(
    ("name", "permitted"),
    [
        ("app.dev.local", True),
        ("test", True),
        ("example.com", False),
        ("my_app.test", True),
        ("a+b.test", False),
        ("", False),
    ],
)
def test_what_is_permitted_is_returned_without_raising(issuer: Issuer, name: str, permitted: bool) -> None:
    assert issuer.permits(name) is permitted
