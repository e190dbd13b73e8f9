"""The house itself: no circle of imports, few late ones, class names with one meaning, tests where their module is.

import-linter keeps the layers and the siblings inside each package apart (pyproject.toml). What it does not see, a
circle through a package's own `__init__`, is looked for here, in the same graph: every import counts, also one inside
of a function and one for the type checker alone.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = ROOT / "devtls", ROOT / "tests"

WITHOUT_A_MODULE = {
    "tests/bench": "the benchmark measures whole programs",
    "tests/compliance": "RULES.md: a test per rule of the wire, whatever module obeys it",
    "tests/docs": "the pages and what generates them",
    "tests/e2e": "the command and real clients",
    "tests/test_house.py": "this file",
    "tests/test_init.py": "the public names",
    "tests/test_main.py": "devtls/__main__.py",
    "tests/test_words.py": "docs/contributing/glossary.md",
    "tests/cli/test_cli.py": "the start of every command",
    "tests/cli/test_every_store.py": "trust and untrust with all stores together",
    "tests/daemon/test_rollover.py": "a running proxy while one CA follows the other",
    "tests/doctor/tls_check/test_damaged.py": "each step of a check with a damaged certificate",
    "tests/http/h1/test_oracles.py": "both codecs beside httptools and h11",
    "tests/http/h1/test_splits.py": "both codecs with input cut at every byte",
    "tests/http/h2/test_oracles.py": "both codecs beside h2",
    "tests/http/h2/test_splits.py": "both codecs with input cut at every byte",
    "tests/http/h2/test_storms.py": "both codecs with random frames",
    "tests/net/test_burst.py": "all of net with many clients at once",
    "tests/pki/test_golden.py": "certificates byte for byte",
    "tests/pki/test_other_cas.py": "certificates of other authorities before real verifiers",
    "tests/pki/test_other_verifiers.py": "our certificates before real verifiers",
    "tests/pki/test_verifiers.py": "our certificates before Python's verifiers",
}
"""Tests that belong to no single module, and what they belong to."""

AMBIGUOUS: Mapping[str, str] = {}
"""Class names with two meanings that stay, and why."""

LATE = {
    "devtls/__main__.py": "garbage collection is switched off before anything is imported",
    "devtls/cli/entry.py": "the module of a command; `devtls serve` goes past click",
    "devtls/cli/proxy/serving.py": "joining, where another devtls serve runs",
    "devtls/cli/terminal/passphrase.py": "getpass, for a locked CA",
    "devtls/config/document.py": "difflib, for a mistake in the file",
    "devtls/config/toml.py": "tomllib, for a start with a file",
    "devtls/daemon/console/log.py": "json, for `--log-format json`",
    "devtls/daemon/late_parts.py": "the auxiliary endpoints, when the configuration has them",
    "devtls/daemon/listeners.py": "ctypes, for activated sockets",
    "devtls/daemon/probes.py": "the trust stores, for a CA whose root was recorded",
    "devtls/daemon/run.py": "what runs after the listeners are open",
    "devtls/http/answers/layout.py": "pages and JSON of our own responses",
    "devtls/http/answers/pages.py": "the advice for a name without a route",
    "devtls/http/upgrade.py": "hashlib, for WebSockets",
    "devtls/names.py": "idna, for names that are not ASCII; difflib, for those that are in no zone",
    "devtls/net/client/listener.py": "HTTP/2, in a thread after the start",
    "devtls/net/upstream/pool.py": "HTTP/2, in a thread after the start",
    "devtls/system/machine/paths.py": "platformdirs, when the environment names no directories",
    "devtls/system/machine/watch.py": "watchdog, in a thread after the start",
    "devtls/system/storage/keyring_entry.py": "keyring, an optional package",
    "devtls/system/storage/keystore.py": "cryptography.x509, for what parses or makes a CA",
}
"""Modules with an import inside a function, and what no start has to wait for; the figures stand at the lines."""


def circles(edges: Mapping[str, Set[str]]) -> list[list[str]]:
    """Return the strongly connected components that have a circle in them (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(edges[node]):
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1 or node in edges[node]:
                found.append(sorted(component))

    for node in edges:
        if node not in index:
            visit(node)
    return found


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]]),
        ({"a": {"a"}}, [["a"]]),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": {"d"}}, [["d", "e"], ["b", "c"]]),
    ],
)
def test_circles_are_found(edges: dict[str, set[str]], expected: list[list[str]]) -> None:
    assert circles(edges) == expected


def test_no_circle_of_imports_exists() -> None:
    graph = grimp.build_graph("devtls", cache_dir=None)
    assert circles({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}) == []


def _classes() -> Iterator[tuple[str, str]]:
    """Yield each class's name without its underscore, and where it is defined."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                yield node.name.lstrip("_"), path.relative_to(ROOT).as_posix()


def test_a_class_name_has_one_meaning() -> None:
    places = defaultdict(list)
    for name, place in _classes():
        places[name].append(place)
    assert {name: where for name, where in places.items() if len(where) > 1 and name not in AMBIGUOUS} == {}
    assert [name for name in AMBIGUOUS if len(places[name]) < 2] == []


def test_imports_inside_functions_are_the_named_ones() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    }
    assert found == LATE.keys()


def _has_a_module(test: Path) -> bool:
    """Say whether a module or package of devtls has the name of a test, or the start of it.

    `tests/a/test_b_more.py` and `tests/a/test_b.py` test `devtls/a/b.py` or `devtls/a/b/`.
    """
    room = PACKAGE / test.parent.relative_to(TESTS)
    words = test.stem.removeprefix("test_").split("_")
    names = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
    return room.is_dir() and any(
        path.stem.rstrip("_") in names for path in room.iterdir() if path.name != "__init__.py"
    )


def test_tests_mirror_the_package() -> None:
    exempt = tuple(ROOT / each for each in WITHOUT_A_MODULE)
    homeless = [
        path.relative_to(ROOT).as_posix()
        for path in sorted(TESTS.rglob("test_*.py"))
        if not any(path.is_relative_to(each) for each in exempt) and not _has_a_module(path)
    ]
    assert homeless == []


@pytest.mark.parametrize("exempt", WITHOUT_A_MODULE)
def test_what_needs_no_module_exists(exempt: str) -> None:
    assert (ROOT / exempt).exists()


def test_modules_have_no_names_that_say_nothing() -> None:
    """A thing without a name has no home."""
    nothing = re.compile(r"(^|_)(utils?|helpers?|base|common|managers?|misc)$")
    assert [path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py") if nothing.search(path.stem)] == []
