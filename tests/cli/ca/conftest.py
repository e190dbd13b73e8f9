from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devtls.cli.terminal import passphrase as asking
from devtls.cli.terminal import prompts
from devtls.pki import locked_key
from devtls.pki.authority import Authority
from tests.cli.ca.passphrases import PASSPHRASE, present
from tests.cli.shell import Shell


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return a function that gives a text through a descriptor, and the descriptor's number."""
    opened: list[int] = []

    def give(text: str) -> str:
        path = tmp_path / f"passphrase-{len(opened)}"
        path.write_text(text)
        opened.append(os.open(path, os.O_RDONLY))
        return str(opened[-1])

    yield give
    for descriptor in opened:
        os.close(descriptor)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sit somebody at a terminal: return the list of what they type."""
    answers: list[str] = []
    monkeypatch.setattr(asking, "_is_terminal", lambda: True)
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _question: answers.pop(0))
    return answers


@pytest.fixture
def kept(shell: Shell, given: Callable[[str], str]) -> Authority:
    shell.succeed("trust", "--yes", "--keep-root-key", "--passphrase-fd", given(PASSPHRASE))
    return present(shell)
