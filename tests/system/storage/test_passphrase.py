from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from devtls.errors import CertificateError, Refused, StateError, WrongPassphrase
from devtls.pki import locked_key
from devtls.system.storage import passphrase as asking
from devtls.system.storage.keyring_entry import drop_from_keyring, from_keyring, to_keyring
from devtls.system.storage.locked_key import LockedKey, lock
from devtls.system.storage.passphrase import Unlocker, new_passphrase, normal, read_from

PASSPHRASE = "correct horse"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))


class Memory(KeyringBackend):
    """A keyring in memory; `locked`: as a desktop's that nobody opened."""

    priority = 1

    def __init__(self, *, locked: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring left it without types
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = locked

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked("nobody opened it")

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.entries:
            raise PasswordDeleteError("not there")
        del self.entries[service, username]


@pytest.fixture
def memory() -> Iterator[Memory]:
    before, made = keyring.get_keyring(), Memory()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def container() -> bytes:
    return lock(ec.derive_private_key(5, ec.SECP256R1()), PASSPHRASE)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    answers: list[str] = []
    monkeypatch.setattr(asking, "_is_terminal", lambda: True)
    monkeypatch.setattr(asking, "getpass", lambda _question: answers.pop(0))
    return answers


def pipe(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.mark.parametrize("content", [b"two words", b"two words\n", b"two words\r\n", b"two words\nmore\n"])
def test_the_first_line_of_a_descriptor_is_the_passphrase(content: bytes) -> None:
    descriptor = pipe(content)
    assert read_from(descriptor) == "two words"
    os.close(descriptor)


def test_bytes_that_are_no_text_are_refused() -> None:
    descriptor = pipe(b"\xff\n")
    with pytest.raises(Refused, match="No passphrase"):
        read_from(descriptor)
    os.close(descriptor)


def test_letters_that_look_the_same_are_the_same() -> None:
    assert normal("e\u0301") == normal("\u00e9") == "\u00e9"


def test_what_opened_one_container_opens_the_next_without_a_question(typed: list[str], container: bytes) -> None:
    unlock = Unlocker("the key")
    typed[:] = [PASSPHRASE]
    unlock(container)
    unlock(lock(ec.derive_private_key(6, ec.SECP256R1()), PASSPHRASE))
    assert typed == []


def test_a_wrong_passphrase_is_said_to_be_wrong_while_there_are_tries_left(
    typed: list[str], container: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    typed[:] = ["not this", "nor this", PASSPHRASE]
    Unlocker("the key")(container)
    assert capsys.readouterr().err == "That is not it. Try again.\n" * 2

    typed[:] = ["not this", "nor this", "nor that"]
    with pytest.raises(WrongPassphrase, match="None of them"):
        Unlocker("the key")(container)
    assert capsys.readouterr().err == "That is not it. Try again.\n" * 2


def test_the_end_of_the_input_is_no_passphrase(monkeypatch: pytest.MonkeyPatch, container: bytes) -> None:
    def end(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr(asking, "getpass", end)
    monkeypatch.setattr(asking, "_is_terminal", lambda: True)
    for ask in (lambda: Unlocker("the key")(container), lambda: asking.new_passphrase("the key")):
        with pytest.raises(Refused, match="input ended"):
            ask()


def test_a_descriptor_is_read_once_and_a_wrong_passphrase_in_it_asks_nobody(typed: list[str], container: bytes) -> None:
    descriptor = pipe(b"something else")
    for _ in range(2):
        with pytest.raises(WrongPassphrase, match="descriptor"):
            Unlocker("the key", descriptor)(container)
    os.close(descriptor)
    assert typed == []


def test_while_serving_nobody_is_asked(typed: list[str], container: bytes) -> None:
    typed[:] = [PASSPHRASE]
    with pytest.raises(StateError, match="nobody to ask"):
        Unlocker("the key", may_ask=False)(container)
    assert typed == [PASSPHRASE]


def test_a_damaged_container_is_not_asked_for_again(typed: list[str], container: bytes) -> None:
    typed[:] = [PASSPHRASE] * 3
    with pytest.raises(CertificateError, match="damaged"):
        Unlocker("the key")(container[:40] + b"!" + container[41:])
    assert len(typed) == 2


def test_the_keyring_answers_before_the_terminal(memory: Memory, container: bytes) -> None:
    to_keyring(container, PASSPHRASE)
    assert from_keyring(container) == PASSPHRASE
    Unlocker("the key", may_ask=False)(container)
    assert from_keyring(lock(ec.derive_private_key(5, ec.SECP256R1()), PASSPHRASE)) == ""  # another container
    drop_from_keyring(container)
    drop_from_keyring(container)
    assert memory.entries == {}


def test_a_keyring_that_nobody_opened_is_as_good_as_none(memory: Memory, container: bytes) -> None:
    memory.locked = True
    assert from_keyring(container) == ""
    with pytest.raises(StateError, match="takes nothing"):
        to_keyring(container, PASSPHRASE)


def test_without_the_extra_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch, container: bytes) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert from_keyring(container) == ""
    drop_from_keyring(container)
    with pytest.raises(StateError, match="not installed") as caught:
        to_keyring(container, PASSPHRASE)
    assert "devtls[keyring]" in caught.value.hint


def test_a_locked_key_shows_its_public_half_and_nothing_else(container: bytes) -> None:
    key = ec.derive_private_key(5, ec.SECP256R1())
    locked = LockedKey(container, key.public_key(), Unlocker("the key", may_ask=False))
    assert (locked.public_key(), locked.key_size, locked.curve.name) == (key.public_key(), 256, "secp256r1")
    assert locked.__copy__() is locked.__deepcopy__({}) is locked
    nothing: Any = None
    for act in (
        locked.private_numbers,
        lambda: locked.private_bytes(nothing, nothing, nothing),
        lambda: locked.exchange(nothing, nothing),
    ):
        with pytest.raises(TypeError):
            act()


def test_a_locked_key_of_another_certificate_is_refused(typed: list[str], container: bytes) -> None:
    typed[:] = [PASSPHRASE]
    other = ec.derive_private_key(6, ec.SECP256R1()).public_key()
    with pytest.raises(CertificateError, match="does not belong"):
        LockedKey(container, other, Unlocker("the key")).open()


def test_a_terminal_is_one_on_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "empty").open("w+") as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(Refused, match="no terminal"):
            new_passphrase("the key")
