"""The glossary's table of words that are not used, and what is named in code, on the command line and in its help."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from devtls.cli.group import cli

ROOT = Path(__file__).parents[1]
GLOSSARY = (ROOT / "docs" / "contributing" / "glossary.md").read_text("utf-8")
TABLE = GLOSSARY.partition("## Words that are not used")[2]

FIELD = ("push promise",)
"""Words of the RFCs that hold a refused one."""

BENCHMARK = "tests/bench"
"""There `measure` and `bench` are the field's own words."""


class Refused(NamedTuple):
    """A word or two that are not used, and where."""

    phrase: str
    instead: str
    where: frozenset[str]


class Name(NamedTuple):
    """A name in a file; `place` says where."""

    place: str
    name: str
    kind: str


def _table() -> Iterator[Refused]:
    for words, instead, where in re.findall(r"^\| (`.+?`) \| (.+?) \| (.+?) \|$", TABLE, re.MULTILINE):
        for word in re.findall(r"`([^`]+)`", words):
            yield Refused(word, instead, frozenset(where.split(", ")))


REFUSED = tuple(_table())


def words_of(name: str) -> str:
    """Return the words of a name in snake case, camel case or with hyphens, in lower case and with spaces between."""
    pieces = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    words = " ".join(pieces).lower()
    for known in FIELD:
        words = words.replace(known, "")
    return words


def _holds(phrase: str, words: str) -> bool:
    return f" {phrase} " in f" {words} "


def _names(path: Path) -> Iterator[Name]:
    place = path.relative_to(ROOT).as_posix()
    is_test = place.startswith("tests/")
    yield Name(place, path.stem, "names")
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.ClassDef(name=name):
                yield Name(f"{place}:{node.lineno}", name, "classes")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield Name(f"{place}:{node.lineno}", name, "names")
            case ast.arg(arg=name) if not is_test:
                yield Name(f"{place}:{node.lineno}", name, "names")
            case ast.Name(id=name, ctx=ast.Store()) if not is_test:
                yield Name(f"{place}:{node.lineno}", name, "names")
            case ast.Attribute(attr=name, ctx=ast.Store()) if not is_test:
                yield Name(f"{place}:{node.lineno}", name, "names")


def _files(package: str) -> Iterator[Path]:
    for path in sorted((ROOT / package).rglob("*.py")):
        if not path.relative_to(ROOT).as_posix().startswith(BENCHMARK):
            yield path


def _violations(package: str) -> Iterator[str]:
    looked_for = {"names", "code"} if package == "devtls" else {"names"}
    for path in _files(package):
        for place, name, kind in _names(path):
            words = words_of(name)
            for phrase, instead, where in REFUSED:
                if where & {*looked_for, kind} and _holds(phrase, words):
                    yield f"{place}: {name}: not {phrase!r} but {instead}"


def _commands(command: click.Command, context: click.Context, *path: str) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from _commands(below, click.Context(below, info_name=name, parent=context), *path, name)


def _command_line() -> Iterator[tuple[str, click.Command]]:
    yield from _commands(cli, click.Context(cli, info_name="devtls"), "devtls")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("open_doors", "open doors"),
        ("SidePort", "side port"),
        ("_TLSGate2", "tls gate 2"),
        ("--way", "way"),
        ("anyway", "anyway"),
        ("test_a_1_0_client", "test a 1 0 client"),
    ],
)
def test_names_fall_into_words(name: str, words: str) -> None:
    assert words_of(name) == words


def test_the_glossary_names_each_word_once_and_where_it_is_refused() -> None:
    assert len({each.phrase for each in REFUSED}) == len(REFUSED) > 40
    assert {where for each in REFUSED for where in each.where} == {*("names", "code", "classes", "options", "help")}


@pytest.mark.parametrize("package", ["devtls", "tests"])
def test_names_are_the_fields_words(package: str) -> None:
    assert list(_violations(package)) == []


def test_options_are_the_fields_words() -> None:
    spelled = [
        (path, option)
        for path, command in _command_line()
        for parameter in command.params
        if not (isinstance(parameter, click.Option) and parameter.hidden)
        for option in (*parameter.opts, *parameter.secondary_opts, parameter.metavar or "")
    ]
    wrong = [
        f"{path} {option}: not {each.phrase!r} but {each.instead}"
        for path, option in spelled
        for each in REFUSED
        if "options" in each.where and _holds(each.phrase, words_of(option))
    ]
    assert spelled
    assert wrong == []


def test_help_texts_are_the_fields_words() -> None:
    wrong = []
    for path, command in _command_line():
        text = command.get_help(click.Context(command, info_name=path))
        words = " ".join(re.findall(r"[a-z]+", text.lower()))
        wrong += [
            f"{path} --help: not {each.phrase!r} but {each.instead}"
            for each in REFUSED
            if "help" in each.where and _holds(each.phrase, words)
        ]
    assert wrong == []
