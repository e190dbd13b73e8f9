from __future__ import annotations

import os

import pytest

from devtls.errors import Refused
from devtls.system.storage.passphrase import NO_PASSPHRASES, PassphraseSource, normal, read_from


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


def source(*answers: str) -> tuple[PassphraseSource, list[str]]:
    """Return a person who gives these answers, and the questions they were asked."""
    left, questions = list(answers), list[str]()

    def ask(question: str) -> str:
        questions.append(question)
        return left.pop(0)

    return PassphraseSource(ask=ask), questions


def test_a_new_passphrase_is_asked_for_twice() -> None:
    person, questions = source("correct horse", "correct horse", "correct horse", "wrong horse", "short")
    assert person.new("the key") == "correct horse"
    assert questions == ["New passphrase for the key: ", "The same again: "]
    with pytest.raises(Refused, match="not the same"):
        person.new("the key")
    with pytest.raises(Refused, match="8 characters"):
        person.new("the key")
    assert len(questions) == 5


def test_a_known_passphrase_is_asked_for_once_and_may_be_short() -> None:
    person, questions = source("e\u0301")
    assert person.known("the key") == "\u00e9"
    assert questions == ["Passphrase of the key: "]


def test_a_descriptor_is_read_in_the_place_of_a_question() -> None:
    descriptor = pipe(b"correct horse\nshort\n")
    assert PassphraseSource(descriptor).known("the key") == "correct horse"
    os.close(descriptor)
    descriptor = pipe(b"short")
    with pytest.raises(Refused, match="8 characters"):
        PassphraseSource(descriptor).new("the key")
    os.close(descriptor)


def test_where_nobody_can_be_asked_the_option_for_a_descriptor_is_named() -> None:
    for act in (NO_PASSPHRASES.new, PassphraseSource(option="--password-fd").known):
        with pytest.raises(Refused, match="no terminal") as caught:
            act("the key")
        assert "-fd 3 3< FILE" in caught.value.hint
    assert caught.value.hint.startswith("--password-fd N")
