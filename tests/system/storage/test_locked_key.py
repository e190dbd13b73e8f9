from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.errors import CertificateError, StateError, WrongPassphrase
from devtls.pki import locked_key
from devtls.system.storage.keyring_entry import to_keyring
from devtls.system.storage.locked_key import LockedKey, Unlocker, lock
from devtls.system.storage.passphrase import PassphraseSource
from tests.system.storage.keyring_in_memory import KeyringInMemory

PASSPHRASE = "correct horse"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))


@pytest.fixture
def container() -> bytes:
    return lock(ec.derive_private_key(5, ec.SECP256R1()), PASSPHRASE)


@dataclass
class Person:
    """Types one answer after the other."""

    answers: list[str]
    questions: list[str] = field(default_factory=list)

    def __call__(self, question: str) -> str:
        self.questions.append(question)
        return self.answers.pop(0)


def unlocker(*answers: str, descriptor: int | None = None) -> tuple[Unlocker, Person]:
    person = Person(list(answers))
    return Unlocker("the key", PassphraseSource(descriptor, person)), person


def test_the_passphrase_of_one_container_opens_the_next_without_a_question(container: bytes) -> None:
    unlock, person = unlocker(PASSPHRASE)
    unlock(container)
    unlock(lock(ec.derive_private_key(6, ec.SECP256R1()), PASSPHRASE))
    assert person.questions == ["Passphrase of the key: "]


def test_a_wrong_passphrase_is_reported_while_there_are_tries_left(container: bytes) -> None:
    unlock, person = unlocker("not this", "nor this", PASSPHRASE)
    unlock(container)
    again = "That is not it. Passphrase of the key: "
    assert person.questions == ["Passphrase of the key: ", again, again]

    unlock, person = unlocker("not this", "nor this", "nor that")
    with pytest.raises(WrongPassphrase, match="None of them"):
        unlock(container)
    assert len(person.questions) == 3


def test_a_descriptor_is_read_once_and_a_wrong_passphrase_in_it_asks_nobody(container: bytes) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"something else")
    os.close(writing)
    unlock, person = unlocker(PASSPHRASE, descriptor=reading)
    for _ in range(2):
        with pytest.raises(WrongPassphrase, match="descriptor"):
            unlock(container)
    os.close(reading)
    assert person.questions == []


def test_without_a_person_nobody_is_asked_from_then_on(container: bytes) -> None:
    unlock, person = unlocker(PASSPHRASE)
    unlock.source = PassphraseSource()
    with pytest.raises(StateError, match="nobody to ask"):
        unlock(container)
    assert person.questions == []


def test_a_damaged_container_is_not_asked_for_again(container: bytes) -> None:
    unlock, person = unlocker(*[PASSPHRASE] * 3)
    with pytest.raises(CertificateError, match="damaged"):
        unlock(container[:40] + b"!" + container[41:])
    assert len(person.questions) == 1


def test_the_keyring_answers_before_a_person(memory: KeyringInMemory, container: bytes) -> None:
    to_keyring(container, PASSPHRASE)
    unlock, person = unlocker()
    unlock(container)
    assert person.questions == []
    with pytest.raises(StateError, match="nobody to ask"):
        Unlocker("the key")(lock(ec.derive_private_key(5, ec.SECP256R1()), PASSPHRASE))  # another container


def test_a_locked_key_shows_its_public_half_and_nothing_else(container: bytes) -> None:
    key = ec.derive_private_key(5, ec.SECP256R1())
    locked = LockedKey(container, key.public_key(), Unlocker("the key"))
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


def test_a_locked_key_of_another_certificate_is_refused(container: bytes) -> None:
    unlock, _ = unlocker(PASSPHRASE)
    other = ec.derive_private_key(6, ec.SECP256R1()).public_key()
    with pytest.raises(CertificateError, match="does not belong"):
        LockedKey(container, other, unlock).open()
