"""The ACME server's ledger on disk: private, whole, shared between processes."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.acme.model import AcmeAccount
from devtls.errors import StateError
from devtls.system.storage.acme_ledger import LedgerFile


def account(name: str) -> AcmeAccount:
    return AcmeAccount(id=name, key={}, thumbprint=name, created=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_what_was_changed_is_on_disk_and_private(state: Path) -> None:
    with LedgerFile(state).opened() as ledger:
        ledger.accounts["a"] = account("a")
    file = state / "acme.json"
    assert file.stat().st_mode & 0o777 == 0o600
    with LedgerFile(state).opened() as again:
        assert again.accounts == {"a": account("a")}


def test_looking_writes_nothing(state: Path) -> None:
    file = LedgerFile(state)
    with file.opened() as ledger:
        assert not ledger.accounts
    assert not file.path.exists()
    with file.opened() as ledger:
        ledger.accounts["a"] = account("a")
    before = file.path.stat().st_ino
    with file.opened():
        pass
    assert file.path.stat().st_ino == before


def test_two_see_what_the_other_did(state: Path) -> None:
    one, two = LedgerFile(state), LedgerFile(state)
    for file, name in ((one, "a"), (two, "b"), (one, "c")):
        with file.opened() as ledger:
            ledger.accounts[name] = account(name)
    with two.opened() as ledger:
        assert set(ledger.accounts) == {"a", "b", "c"}


def test_an_error_leaves_the_disk_as_it_was(state: Path) -> None:
    file = LedgerFile(state)
    with file.opened() as ledger:
        ledger.accounts["a"] = account("a")
    with pytest.raises(RuntimeError), file.opened() as ledger:
        ledger.accounts["b"] = account("b")
        raise RuntimeError("halfway")
    with file.opened() as ledger:
        assert set(ledger.accounts) == {"a"}


def test_a_ledger_that_was_deleted_is_empty(state: Path) -> None:
    file = LedgerFile(state)
    with file.opened() as ledger:
        ledger.accounts["a"] = account("a")
    file.path.unlink()
    with file.opened() as ledger:
        assert not ledger.accounts


def test_what_others_can_read_is_refused(state: Path) -> None:
    file = LedgerFile(state)
    with file.opened() as ledger:
        ledger.accounts["a"] = account("a")
    file.path.chmod(0o644)
    with pytest.raises(StateError, match="open to other users"), LedgerFile(state).opened():
        pytest.fail("opened")


def test_a_directory_that_cannot_be_used_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LedgerFile(state)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StateError, match="No space left on device"), file.opened() as ledger:
        ledger.accounts["a"] = account("a")
    monkeypatch.undo()
    with file.opened() as ledger:
        assert not ledger.accounts
