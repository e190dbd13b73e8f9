from __future__ import annotations

from collections.abc import Iterator

import keyring
import pytest

from tests.system.storage.keyring_in_memory import KeyringInMemory


@pytest.fixture
def memory() -> Iterator[KeyringInMemory]:
    """Put a keyring in memory in the place of the desktop's."""
    before, made = keyring.get_keyring(), KeyringInMemory()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)
