from __future__ import annotations

import sys

import pytest

from devtls.errors import StateError
from devtls.system.storage.keyring_entry import drop_from_keyring, from_keyring, to_keyring
from tests.system.storage.keyring_in_memory import KeyringInMemory

CONTAINER, OTHER = b"a container", b"another container"
FIRST_FORMAT = b"devtls-key" + bytes(32)


def test_an_entry_belongs_to_one_container(memory: KeyringInMemory) -> None:
    to_keyring(CONTAINER, "correct horse")
    to_keyring(FIRST_FORMAT + b"content", "battery staple")
    assert from_keyring(CONTAINER) == "correct horse"
    assert from_keyring(FIRST_FORMAT) == "battery staple"
    assert from_keyring(OTHER) == ""
    drop_from_keyring(CONTAINER)
    drop_from_keyring(CONTAINER)
    drop_from_keyring(FIRST_FORMAT)
    assert memory.entries == {}


def test_a_keyring_that_nobody_opened_is_as_good_as_none(memory: KeyringInMemory) -> None:
    memory.locked = True
    assert from_keyring(CONTAINER) == ""
    with pytest.raises(StateError, match="takes nothing"):
        to_keyring(CONTAINER, "correct horse")


def test_without_the_extra_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert from_keyring(CONTAINER) == ""
    drop_from_keyring(CONTAINER)
    with pytest.raises(StateError, match="not installed") as caught:
        to_keyring(CONTAINER, "correct horse")
    assert "devtls[keyring]" in caught.value.hint
