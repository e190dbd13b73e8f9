"""How findings look: the whole text at 80 columns, the widest and the narrowest terminal, marks, JSON."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.cli.diagnosis.doctor_view import as_values, in_words, result_lines
from devtls.doctor.health.finding import Finding, Level, Section
from devtls.system.changes.change import ChangeState, Part, Status
from devtls.system.changes.engine import as_planned, propose, propose_revert
from devtls.system.changes.permissions import PrivateFiles
from tests.system.changes.file_change import DESIRED, FileChange

FIX = propose(FileChange(Path("/nowhere/names")), DESIRED)
HOSTS = "printf '%s app.dev.local a-second.dev.local a-third.dev.local\\n' 127.0.0.1 ::1 | sudo tee -a /etc/hosts"
FINDINGS = [
    Finding("ca-fine", Section.CA, Level.OK, "devtls root 0a1b2c3d speaks for dev.local, until 2036-01-01."),
    Finding("store-trusts", Section.STORES, Level.OK, "Chromium: the root is there."),
    Finding("store-trusts", Section.STORES, Level.OK, "Firefox: the root is there."),
    Finding(
        "store-lacks",
        Section.STORES,
        Level.WARNING,
        "Firefox profile (~/new): the root is not there.",
        "That browser shows a warning page.",
        "devtls trust",
        "nss:~/new",
        FIX,
    ),
    Finding("app-down", Section.PROJECT, Level.NOTE, "The app does not answer.", "It is down.", "Start the app"),
    Finding("name-elsewhere", Section.NAMES, Level.TROUBLE, "app.dev.local leads to 192.0.2.1.", "Why.", HOSTS),
    Finding("port-free", Section.PORTS, Level.OK, "Port 443 is free for devtls serve."),
    Finding("other", Section.PORTS, Level.OK, "And something else is fine."),
]
GOLDEN = f"""\
  ✓ CA        devtls root 0a1b2c3d speaks for dev.local, until 2036-01-01.
  ! Stores    Firefox profile (~/new): the root is not there. That browser shows
              a warning page.
  ✓           2 stores trust the root.
  · Project   The app does not answer.
  ✗ Names     app.dev.local leads to 192.0.2.1. Why.
  ✓ Ports     Port 443 is free for devtls serve.

2 things are to be fixed. devtls doctor --fix applies what is safe, and asks
before.

What to do:
  1. {HOSTS}
  2. devtls trust

If you like:
  1. Start the app"""


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_the_whole_text_at_80_columns() -> None:
    assert in_words(FINDINGS, verbose=False) == GOLDEN


def test_verbose_shows_every_finding_and_every_reason() -> None:
    text = in_words(FINDINGS, verbose=True)
    for finding in FINDINGS:
        assert " ".join(finding.what.split()) in " ".join(text.split())
    assert "The app does not answer. It is down." in text
    assert "2 stores" not in text


@pytest.mark.parametrize("width", [50, 80, 300])
def test_only_commands_are_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = in_words(FINDINGS, verbose=True).splitlines()
    assert {line for line in lines if len(line) > min(width, 100)} <= {f"  1. {HOSTS}"}


def test_a_healthy_machine_gets_no_list() -> None:
    text = in_words(FINDINGS[:3], verbose=False)
    assert text.endswith("\n\nNothing is wrong.")


def test_many_notes_of_one_kind_are_told_by_the_first() -> None:
    notes = [
        Finding("store-lacks", Section.STORES, Level.NOTE, f"Java {number}: the root is not there.", "", "devtls trust")
        for number in (8, 11, 17)
    ]
    text = in_words([*notes, *FINDINGS[4:5]], verbose=False)
    assert "Java 8: the root is not there. (2 more like this: --verbose shows\n" in text
    assert "Java 11" not in text
    assert "Java 11" in in_words(notes, verbose=True)
    assert "Java 11" in in_words(notes[:2], verbose=False)


def test_one_thing_without_a_safe_fix() -> None:
    text = in_words([FINDINGS[5]], verbose=False)
    assert "One thing is to be fixed.\n" in text


def test_text_of_others_is_escaped() -> None:
    text = in_words([Finding("x", Section.CA, Level.TROUBLE, "A \x1b[2J", "", "b\x07")], verbose=True)
    assert "\x1b" not in text
    assert "A \\x1b[2J" in text
    assert "1. b\\x07" in text


def test_plain_ascii_gets_words_for_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = in_words(FINDINGS, verbose=False)
    assert "  ok CA " in text
    assert "  !! Stores " in text
    assert "  -- Project " in text
    assert "  NO Names " in text


@pytest.mark.parametrize(("no_color", "painted"), [(None, True), ("", False), ("1", False)])
def test_colours_are_for_terminals_without_NO_COLOR(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, painted: bool
) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Terminal())
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert ("\x1b[31;1m✗\x1b[0m" in in_words(FINDINGS, verbose=False)) is painted


def test_results_say_what_was_done_and_why_not() -> None:
    closing = propose(PrivateFiles(()), ())
    done, failed = ChangeState(Status.APPLIED), ChangeState(Status.FAILED, "it is locked")
    store = propose(FileChange(Path("/nowhere/store"), part=Part.TRUST), DESIRED)
    stale = propose_revert(store.change, {})
    results = [
        (closing, as_planned(closing, None)),
        (store, replace(as_planned(store, None), state=failed)),
        (stale, replace(as_planned(stale, None), state=done)),
    ]
    assert result_lines(results) == [
        "  ✓ done      Closes the CA's files to other users.",
        "  ✗ not done  Lines in store: puts the root in: it is locked.",
        "  ✗ not done  Lines in store: takes the root of an earlier CA out: applied.",
    ]


def test_json_has_the_documented_shape() -> None:
    values = as_values(FINDINGS, [(FIX, replace(as_planned(FIX, None), state=ChangeState(Status.APPLIED)))])
    assert values["wrong"] is True
    assert values["counts"] == {"ok": 5, "note": 1, "warning": 1, "trouble": 1}
    findings = values["findings"]
    assert isinstance(findings, list)
    assert findings[3] == {
        "id": "store-lacks",
        "section": "stores",
        "level": "warning",
        "subject": "nss:~/new",
        "what": "Firefox profile (~/new): the root is not there.",
        "why": "That browser shows a warning page.",
        "mend": "devtls trust",
        "mend_is_command": True,
        "fixable": True,
    }
    assert values["what_to_do"] == [HOSTS, "devtls trust"]
    assert values["fixed"] == [
        {"what": "Writes the names into names, where nobody reads them", "done": True, "detail": ""}
    ]
