"""Paths for OpenSSL: both ways load, neither leaves anything behind."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.names import DEFAULT_ZONES
from devtls.pki.leaf import Leaf
from devtls.system.machine import pem
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.keystore import Keystore


@pytest.fixture
def leaf(tmp_path: Path) -> Leaf:
    now = datetime.now(UTC)
    authority = Keystore(tmp_path / "ca").create(DEFAULT_ZONES, now)
    return authority.issue_default(now=now, key=new_leaf_key(), serial=new_serial())


def load(directory: Path, leaf: Leaf) -> tuple[str, str | None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pem.pem_path(directory, leaf.pem) as (path, password):
        context.load_cert_chain(path, password=password)
    return path, password


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux only")
def test_on_linux_no_file_is_made(tmp_path: Path, leaf: Leaf) -> None:
    directory = tmp_path / "none"
    path, password = load(directory, leaf)
    assert (path.startswith("/proc/self/fd/"), password, directory.exists()) == (True, None, False)


def test_elsewhere_the_key_is_encrypted_and_the_file_short_lived(
    tmp_path: Path, leaf: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    directory = tmp_path / "state"
    directory.mkdir()
    with pem.pem_path(directory, leaf.pem) as (path, password):
        content = Path(path).read_bytes()
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert password and password.encode() not in content
        assert b"BEGIN PRIVATE KEY" not in content
    assert list(directory.iterdir()) == []
    load(directory, leaf)
    with pem.pem_path(directory, leaf.chain_pem) as (path, _):  # no key: nothing is secret
        assert Path(path).read_bytes() == leaf.chain_pem
    assert list(directory.iterdir()) == []
