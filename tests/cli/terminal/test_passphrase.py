from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devtls.cli.terminal import passphrase
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.errors import Refused


def test_a_terminal_is_one_on_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "empty").open("w+") as file:
        for stdin in (file, None):
            monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(Refused, match="no terminal"):
                terminal_passphrases().new("the key")


def test_a_person_types_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "_is_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda question: f"typed after {question!r}")
    assert terminal_passphrases().known("the key") == "typed after 'Passphrase of the key: '"


def test_the_end_of_the_input_is_no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr(passphrase, "_is_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", end)
    for ask in (terminal_passphrases().known, terminal_passphrases().new):
        with pytest.raises(Refused, match="input ended"):
            ask("the key")
