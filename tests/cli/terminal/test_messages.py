"""Messages on stderr."""

from __future__ import annotations

import pytest

from devtls.cli.terminal import messages
from devtls.cli.terminal.messages import show


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    monkeypatch.setattr(messages, "terminal_columns", lambda _: 40)
    return capsys


def test_a_message_and_its_hint_are_broken_between_words(told: pytest.CaptureFixture[str]) -> None:
    show(
        "command line: app: the target 192.168.1.4 is another machine.", "Write a port (3000), or a folder such as ./x."
    )
    assert told.readouterr().err.split("\n") == [
        "error: command line: app: the target",
        "    192.168.1.4 is another machine.",
        "  try: Write a port (3000), or a folder",
        "    such as ./x.",
        "",
    ]


def test_a_command_is_never_broken(told: pytest.CaptureFixture[str]) -> None:
    command = "devtls add api 192.168.1.4:3000 --allow-remote --temporary"
    show("no.", command)
    assert f"  try: {command}\n" in told.readouterr().err
