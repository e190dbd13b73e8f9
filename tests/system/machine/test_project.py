"""The project of an app: read where its process runs, or where it may be, and never more than tells a file's name."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from devtls.http.frameworks.advice import Project
from devtls.system.machine.project import find_project, read_project


def package(*names: str, group: str = "dependencies") -> str:
    return json.dumps({group: dict.fromkeys(names, "*")})


def test_a_project_has_its_configuration_files_and_packages(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(package("nuxt", group="devDependencies"))
    for name in ("nuxt.config.ts", "tsconfig.json", "README.md", ".storybook/main.ts"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = frozenset({"nuxt.config.ts", "tsconfig.json", ".storybook/main.ts"})
    assert read_project(tmp_path) == Project(files, frozenset({"nuxt"}))


@pytest.mark.parametrize("text", ["", "[]", '{"dependencies": 3}', '{"dependencies": null}', "\0"])
def test_a_package_json_that_says_nothing_is_no_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "package.json").write_text(text)
    assert read_project(tmp_path) == Project()


def test_a_directory_without_one_is_no_project(tmp_path: Path) -> None:
    assert read_project(tmp_path) is None
    assert read_project(tmp_path / "none") is None
    os.mkfifo(tmp_path / "package.json")
    assert read_project(tmp_path) is None


@pytest.mark.parametrize(("place", "found"), [("app.js", True), ("src/app.ts", True), ("node_modules/a.js", False)])
def test_a_secure_cookie_is_seen_in_the_sources_alone(tmp_path: Path, place: str, found: bool) -> None:
    (tmp_path / "package.json").write_text(package("express"))
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("session({ cookie: { secure: true } })")
    project = read_project(tmp_path)
    assert project is not None
    assert project.secure_cookies is found


def test_the_process_on_the_port_tells_where_its_project_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for directory, name in ((own, "astro"), (other, "next")):
        directory.mkdir()
        (directory / "package.json").write_text(package(name))
    monkeypatch.chdir(own)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        project = find_project(listener.getsockname()[1], [other])
    assert project is not None
    assert project.packages == {"astro"}


def test_without_a_process_the_directories_are_asked(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(package("next"))
    nowhere = tmp_path / "proc"
    project = find_project(1, [tmp_path / "none", tmp_path], proc=nowhere)
    assert project is not None
    assert project.packages == {"next"}
    assert find_project(1, [], proc=nowhere) is None
