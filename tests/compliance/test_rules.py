"""RULES.md and the tests hold each other: a rule that is cited exists, and one that is not cited says why."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("RULES.md").read_text("utf-8")
PAGE, _, REMAINDER = RULES.partition("\n## Rules that no test cites by number\n")

STATED = {int(number): title for number, title in re.findall(r"^(\d+)\. \*\*(.+?)\.\*\* ", PAGE, re.MULTILINE)}
UNCITED = {int(number): reason for number, reason in re.findall(r"^\* (\d+): (.+?\.)$", REMAINDER, re.MULTILINE)}
GUARANTEES = dict(re.findall(r"^\* \*\*([a-z])\*\* (.+)$", PAGE, re.MULTILINE))

NAMED = re.compile(r"^test_rule_(\d+(?:_and_\d+)*)(?=_|$)")
SPOKEN = re.compile(r"\b[Rr]ules? (\d+(?:-\d+)?(?:(?:, | and |, and )\d+(?:-\d+)?)*)")
GUARANTEED = re.compile(r"\bguarantee (\w) of RULES|\btest_guarantee_([a-z])_", re.IGNORECASE)


def _python(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


def _spoken(text: str) -> Iterator[int]:
    """Yield the numbers that a sentence cites: `rule 24`, `rules 5, 7 and 9`, `rules 1-23`."""
    for listed in SPOKEN.findall(text):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", listed):
            yield from range(int(first), int(last or first) + 1)


def _named(path: Path) -> Iterator[int]:
    """Yield the numbers that the tests of a file carry in their names or in those of their cases."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if found := NAMED.match(name):
                yield from map(int, re.findall(r"\d+", found[1]))
            case ast.Constant(value=str() as text) if re.match(r"rule \d+: ", text):
                yield from _spoken(text)


CITED = {number for path in _python("tests") for number in _named(path)}


def test_the_page_counts_from_one_without_a_gap() -> None:
    assert list(STATED) == list(range(1, len(STATED) + 1))
    assert len(set(STATED.values())) == len(STATED)


def test_every_rule_that_a_test_is_named_after_stands_on_the_page() -> None:
    assert CITED - STATED.keys() == set()


def test_every_rule_is_cited_or_says_where_it_is_held() -> None:
    assert STATED.keys() - CITED == UNCITED.keys()


@pytest.mark.parametrize("number", UNCITED)
def test_a_rule_that_no_test_cites_names_its_tests_or_has_none_for_a_reason(number: int) -> None:
    files = re.findall(r"`(tests/[\w/]+\.py)`", UNCITED[number])
    assert files or UNCITED[number].startswith("no test: ")
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_what_code_and_docstrings_cite_stands_on_the_page() -> None:
    for path in _python("devtls", "tests"):
        text = path.read_text("utf-8")
        assert set(_spoken(text)) <= STATED.keys(), path
        assert {letter for found in GUARANTEED.findall(text) for letter in found if letter} <= GUARANTEES.keys(), path
