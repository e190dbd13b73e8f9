from __future__ import annotations

import pytest

from devtls.doctor.health.finding import Finding, Level, Section, as_command, counted, listed, remedies


def finding(level: Level, remedy: str) -> Finding:
    return Finding("x", Section.CA, level, "It is so.", remedy=remedy)


def test_only_warnings_and_troubles_are_wrong() -> None:
    assert [level for level in Level if finding(level, "").wrong] == [Level.WARNING, Level.TROUBLE]


@pytest.mark.parametrize(
    ("remedy", "command"),
    [
        ("devtls trust", True),
        ("devtls untrust --all && devtls trust", True),
        ('eval "$(devtls env)"', True),
        ("Start the app", False),
        ("upgrade devtls", False),
        ("flatpak override x, or import it", False),
        ("devtls env -- curl … shows more", False),
        ("", False),
    ],
)
def test_a_command_is_told_from_an_instruction(remedy: str, command: bool) -> None:
    assert finding(Level.NOTE, remedy).is_command is command


@pytest.mark.parametrize(
    ("hint", "command"),
    [
        ("sudo apt install x, then devtls trust", "sudo apt install x && devtls trust"),
        ("Close the browser, then devtls trust", "Close the browser, then devtls trust"),
        ("devtls trust, then devtls trust on the screen", "devtls trust, then devtls trust on the screen"),
        ("chmod go= x", "chmod go= x"),
        ("", ""),
    ],
)
def test_hints_that_are_two_commands_become_one_line(hint: str, command: str) -> None:
    assert as_command(hint) == command


def test_what_to_do_is_reported_once_and_the_worst_first() -> None:
    found = [finding(Level.NOTE, "n"), finding(Level.WARNING, "w"), finding(Level.TROUBLE, "t")]
    assert remedies([*found, finding(Level.WARNING, "t"), finding(Level.TROUBLE, "")]) == ("t", "w")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "a"], "a and b"),
        (["a", "b", "c", "d"], "a, b, c and d"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
    ],
)
def test_names_become_a_part_of_a_sentence(names: list[str], shown: str) -> None:
    assert listed(names) == shown


def test_plural_and_singular_are_told_apart() -> None:
    assert [counted(number, "day") for number in (0, 1, 2)] == ["0 days", "1 day", "2 days"]
