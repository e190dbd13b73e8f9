"""Paths for OpenSSL: both ways load, neither leaves anything behind."""

from __future__ import annotations

import importlib
import os
import ssl
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.names import DEFAULT_ZONES
from devtls.pki.leaf import Leaf
from devtls.system.machine import pem
from devtls.system.machine.encrypted_pem import encrypted_file
from devtls.system.machine.pem import pem_path
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.keystore import Keystore


@pytest.fixture
def leaf(tmp_path: Path) -> Leaf:
    now = datetime.now(UTC)
    authority = Keystore(tmp_path / "ca").create(DEFAULT_ZONES, now)
    return authority.issue_default(now=now, key=new_leaf_key(), serial=new_serial())


def load(
    open_path: Callable[[Path, bytes], AbstractContextManager[tuple[str, str | None]]], directory: Path, leaf: Leaf
) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with open_path(directory, leaf.pem) as (path, password):
        context.load_cert_chain(path, password=password)
    return path


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux only")
def test_on_linux_no_file_is_made(tmp_path: Path, leaf: Leaf) -> None:
    directory = tmp_path / "none"
    path = load(pem_path, directory, leaf)
    assert (path.startswith("/proc/self/fd/"), directory.exists()) == (True, False)


def test_elsewhere_the_key_is_encrypted_and_the_file_short_lived(tmp_path: Path, leaf: Leaf) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    with encrypted_file(directory, leaf.pem) as (path, password):
        content = Path(path).read_bytes()
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert password and password.encode() not in content
        assert b"BEGIN PRIVATE KEY" not in content
    assert list(directory.iterdir()) == []
    load(encrypted_file, directory, leaf)
    with encrypted_file(directory, leaf.chain_pem) as (path, _):  # no key: nothing is secret
        assert Path(path).read_bytes() == leaf.chain_pem
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("lacking", ["the system", "the Python"])
def test_without_a_memfd_the_file_is_the_path(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    if lacking == "the system":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    try:
        assert importlib.reload(pem).pem_path is encrypted_file
    finally:
        monkeypatch.undo()
        importlib.reload(pem)
