"""The project that an app runs in: its configuration files and npm packages, for advice that names the right file.

Owns finding the directory (that of the process that listens on the app's port, on Linux; else one that is offered),
and reading what stands in it. Refuses to read much: names of files, package.json, and of the sources as much as tells
whether cookies are secure; another user's process tells nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from devtls.http.frameworks.advice import Project
from devtls.system.machine.port_holder import find_holder

_PROC = Path("/proc")
_PACKAGES = "package.json"
_MOST_FILES = 2000
_MOST_SOURCES = 100
_MOST_BYTES = 256 * 1024
_SOURCES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")
_SKIPPED = frozenset({"node_modules", "dist", "build", "public"})
_SECURE_COOKIE = re.compile(r"\bsecure\s*:\s*true\b")
_CONFIGURATIONS = re.compile(r"[a-z]+\.config\.[cm]?[jt]s\Z")


def find_project(port: int, directories: Sequence[Path], *, proc: Path = _PROC) -> Project | None:
    """Return the project of the app on a port; None when neither its process nor one of `directories` shows one."""
    descriptor = find_holder(port, proc=proc).descriptor
    if descriptor is not None:
        # Another directory would be another app's.
        return read_project(descriptor.parent.parent / "cwd")
    return next((project for each in directories if (project := read_project(each)) is not None), None)


def read_project(directory: Path) -> Project | None:
    """Return what stands in a directory, None when it has no package.json."""
    text = _read(directory / _PACKAGES)
    if text is None:
        return None
    files = frozenset(_files(directory))
    return Project(files, _packages(text), secure_cookies=any(map(_has_secure_cookie, _sources(directory))))


def _files(directory: Path) -> Iterator[str]:
    for path in itertools.islice(_entries(directory), _MOST_FILES):
        if path.name == ".storybook":
            yield from (f".storybook/{each.name}" for each in itertools.islice(_entries(path), _MOST_FILES))
        elif path.name == "tsconfig.json" or _CONFIGURATIONS.match(path.name):
            yield path.name


def _packages(text: bytes) -> frozenset[str]:
    try:
        content: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return frozenset()
    if not isinstance(content, dict):
        return frozenset()
    groups = (content.get(name) for name in ("dependencies", "devDependencies"))
    return frozenset(name for group in groups if isinstance(group, dict) for name in group)


def _sources(directory: Path) -> Iterator[Path]:
    """Return some sources of an app: those beside package.json, and one directory below."""
    found = _entries(directory)
    below = (
        each
        for path in _entries(directory)
        if path.name not in _SKIPPED and not path.name.startswith(".") and path.is_dir()
        for each in _entries(path)
    )
    sources = (path for path in itertools.chain(found, below) if path.suffix in _SOURCES)
    return itertools.islice(sources, _MOST_SOURCES)


def _has_secure_cookie(path: Path) -> bool:
    text = _read(path)
    return text is not None and _SECURE_COOKIE.search(text.decode("utf-8", "replace")) is not None


def _entries(directory: Path) -> Iterator[Path]:
    try:
        yield from directory.iterdir()
    except OSError:
        return


def _read(path: Path) -> bytes | None:
    """Return the beginning of a file; None for what is none, or is not ours to read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return None
