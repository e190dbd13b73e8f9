"""The walks through the code: each row names a function that exists, and no walk comes to a package twice."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import ROOT, page, table

PAGE = page("explanation/life-of-a-request.md")
WALKS = dict(re.findall(r"<!-- walk: (\w+) -->(.*?)<!-- /walk -->", PAGE, re.DOTALL))


def names_in(tree: ast.Module, path: list[str]) -> set[str]:
    """Return the names of functions and classes on one level of a module: at its top, or in a class."""
    body: list[ast.stmt] = tree.body
    for name in path:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == name)
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}


def test_there_are_three() -> None:
    assert list(WALKS) == ["request", "trust", "revocation"]


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_visits_a_package_once(walk: str) -> None:
    rooms = [row[1].strip("`") for row in table(WALKS[walk])[1:]]
    assert len(rooms) == len(set(rooms)) > 5
    assert all((ROOT / room / "__init__.py").exists() for room in rooms)


@pytest.mark.parametrize("walk", WALKS)
def test_every_function_that_a_walk_names_exists(walk: str) -> None:
    for _, room, function, _ in table(WALKS[walk])[1:]:
        module, *path, name = function.strip("`").split(".")
        tree = ast.parse((ROOT / room.strip("`") / f"{module}.py").read_text())
        assert name in names_in(tree, path), function
