"""Rows with a symbol."""

from __future__ import annotations

import io
import sys

import pytest

from devtls.cli.terminal.rows import Symbol, marked_row


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_a_sentence_goes_on_below_itself() -> None:
    assert marked_row(Symbol.WARNING, "Names", "One two three four five six seven eight.", 8) == [
        "  ! Names    One two three four five six",
        "             seven eight.",
    ]


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "✗"), ("ascii", "NO")])
def test_an_output_without_the_signs_gets_words(monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    assert marked_row(Symbol.ERROR, "Names", "No.", 5)[0].split() == [shown, "Names", "No."]
