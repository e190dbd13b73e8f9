"""The CA's private keys, locked and opened with passphrases that a program gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devtls.errors import Refused, StateError, WrongPassphrase
from devtls.names import DEFAULT_ZONES
from devtls.operations.ca_keys import (
    encrypted_root_key,
    export_root_key,
    lock_ca,
    open_root_key,
    root_key_lock,
    root_key_status,
    unlock_ca,
)
from devtls.operations.context import Context
from devtls.pki import locked_key
from devtls.system.storage.locked_key import LockedKey
from devtls.system.storage.passphrase import PassphraseSource

PASSPHRASE = "correct horse battery"
KNOWN = PassphraseSource(ask=lambda _question: PASSPHRASE)
WRONG = PassphraseSource(ask=lambda _question: "wrong horse")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))


def test_a_root_key_is_kept_opened_and_exported_under_its_passphrase(context: Context, tmp_path: Path) -> None:
    authority = context.keystore.create(DEFAULT_ZONES, context.now, locks=root_key_lock(KNOWN))
    status = root_key_status(context)
    assert (status.authority.id, status.file) == (authority.id, context.keystore.root_key_file(authority))
    encrypted = encrypted_root_key(context.keystore, authority)
    knowing = replace(context, passphrases=KNOWN)
    assert open_root_key(knowing, encrypted).public_key() == authority.root.public_key()
    with pytest.raises(WrongPassphrase):
        open_root_key(replace(context, passphrases=WRONG), encrypted)
    out = tmp_path / "root-key.pem"
    export_root_key(knowing, out, force=False)
    assert locked_key.unlock_key(out.read_bytes(), PASSPHRASE).public_key() == authority.root.public_key()
    with pytest.raises(Refused, match="exists already"):
        export_root_key(knowing, out, force=False)


def test_a_root_key_that_was_dropped_cannot_be_used(context: Context, tmp_path: Path) -> None:
    authority = context.keystore.create(DEFAULT_ZONES, context.now)
    assert root_key_status(context).file is None
    with pytest.raises(Refused, match="was dropped"):
        encrypted_root_key(context.keystore, authority)
    with pytest.raises(Refused, match="was dropped"):
        export_root_key(context, tmp_path / "key.pem", force=False)


def test_a_locked_ca_needs_its_passphrase_and_nobody_is_asked_without_a_source(context: Context) -> None:
    context.keystore.create(DEFAULT_ZONES, context.now)
    with pytest.raises(Refused, match="no terminal"):
        lock_ca(context, remember=False)
    lock_ca(replace(context, passphrases=KNOWN), remember=False)
    assert isinstance(context.keystore.load(context.now).intermediate.key, LockedKey)
    assert context.zones == DEFAULT_ZONES  # no key is opened for these
    with pytest.raises(Refused, match="locked already"):
        lock_ca(replace(context, passphrases=KNOWN), remember=False)
    with pytest.raises(StateError, match="nobody to ask"):
        unlock_ca(context)
    unlock_ca(replace(context, passphrases=KNOWN))
    assert not isinstance(context.keystore.load(context.now).intermediate.key, LockedKey)
    with pytest.raises(Refused, match="not locked"):
        unlock_ca(context)
