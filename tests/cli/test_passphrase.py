from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click
import pytest

from devtls.cli.passphrase import read_passphrase
from devtls.errors import Refused


def given(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.mark.parametrize("content", [b"ge heim", b"ge heim\n", b"ge heim\r\n", b"ge heim\nmore\n"])
def test_the_first_line_of_a_descriptor_counts(content: bytes) -> None:
    descriptor = given(content)
    try:
        assert read_passphrase(descriptor, "x", confirm=True) == b"ge heim"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("content", [b"", b"\n", b"\nsecond"])
def test_an_empty_one_is_refused(content: bytes) -> None:
    descriptor = given(content)
    try:
        with pytest.raises(Refused, match="passphrase for x is empty"):
            read_passphrase(descriptor, "x", confirm=True)
    finally:
        os.close(descriptor)


def test_a_descriptor_that_is_not_open_is_named() -> None:
    with pytest.raises(Refused, match="file descriptor 999") as caught:
        read_passphrase(999, "x", confirm=True)
    assert "3<FILE" in caught.value.hint


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(Refused, match="no terminal"):
        read_passphrase(None, "x", confirm=True)


@pytest.mark.parametrize("confirm", [True, False])
def test_it_is_typed_unseen(monkeypatch: pytest.MonkeyPatch, confirm: bool) -> None:
    asked: list[dict[str, object]] = []

    def prompt(text: str, **options: object) -> str:
        asked.append({"text": text, **options})
        return "schön"

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    replaced: Callable[..., str] = prompt
    monkeypatch.setattr(click, "prompt", replaced)
    assert read_passphrase(None, "x", confirm=confirm) == "schön".encode()
    expected = {"text": "Passphrase for x", "hide_input": True, "confirmation_prompt": confirm, "err": True}
    assert asked == [expected]
