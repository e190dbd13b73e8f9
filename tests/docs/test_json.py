"""Every field that a command prints as JSON stands on the page about JSON, or among the messages of the control API."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.cli.group import main
from devtls.names import DEFAULT_ZONES
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore
from tests.docs.pages import marked, page

DOCUMENTED = set(re.findall(r"`(\w+)`", page("reference/json.md") + page("reference/control-api.md")))
DATA = {"counts", "files"}
"""Fields whose content is an object with names of its own: levels, roles."""

SECTION = re.compile(r"^  [✗!·✓] (\w+) ", re.MULTILINE)
"""The first line of a section of `devtls doctor`."""

CHANGELESS = [
    "trust --dry-run --json",
    "untrust --dry-run --json",
    "setup --dry-run --json",
    "unsetup --dry-run --json",
    "uninstall --dry-run --json",
    "service uninstall --dry-run --json",
    "ca --json",
    "ca renew --dry-run --json",
    "ca retire --dry-run --json",
    "ca root-key --json",
    "cert db.dev.local --json",
    "certs list --json",
    "certs show db.dev.local --json",
    "revoke db.dev.local --json",
    "add api 4000 --json",
    "list --json",
    "allow --json",
    "remove api --json",
]


def fields(value: object) -> Iterator[str]:
    """Yield the names of all fields in a document."""
    if isinstance(value, dict):
        for name, content in value.items():
            yield name
            if name not in DATA:
                yield from fields(content)
    elif isinstance(value, list):
        for each in value:
            yield from fields(each)


def printed(line: str, capsys: pytest.CaptureFixture[str]) -> object:
    main(line.split())
    return json.loads(capsys.readouterr().out)


def test_every_field_of_every_command_is_documented(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    Keystore(Paths.from_environment().state_dir).load_or_create(DEFAULT_ZONES, datetime.now(UTC))
    unknown = {line: set(fields(printed(line, capsys))) - DOCUMENTED for line in CHANGELESS}
    assert {line: names for line, names in unknown.items() if names} == {}


@pytest.mark.tools
def test_the_doctor_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(fields(printed("doctor --json", capsys))) <= DOCUMENTED
    main(["doctor", "--verbose"])
    shown = marked(page("how-to/diagnose.md"), "doctor")
    printed_sections, shown_sections = (SECTION.findall(text) for text in (capsys.readouterr().out, shown))
    assert [name for name in shown_sections if name in printed_sections] == printed_sections


def test_every_field_of_a_check_without_a_connection_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert set(fields(printed(f"check 127.0.0.1:{port} --json", capsys))) <= DOCUMENTED
