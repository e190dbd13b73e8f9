from __future__ import annotations

import socket
from pathlib import Path

import pytest

from devtls.doctor.health import project
from devtls.doctor.health.project import ProjectFacts, probe_project
from devtls.names import DEFAULT_ZONES
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import Found


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "state", tmp_path / "config", tmp_path / "run")


def look(directory: Path, paths: Paths, text: str = "") -> ProjectFacts:
    if text:
        (directory / "devtls.toml").write_text(text)
    return probe_project(directory, directory, paths, DEFAULT_ZONES)


def test_no_file_is_nothing(tmp_path: Path, paths: Paths) -> None:
    assert look(tmp_path, paths) == ProjectFacts()


def test_routes_and_their_apps_are_looked_at(tmp_path: Path, paths: Paths) -> None:
    with socket.create_server(("127.0.0.1", 0)) as up, socket.socket() as down:
        down.bind(("127.0.0.1", 0))
        here, nowhere = up.getsockname()[1], down.getsockname()[1]
        found = look(
            tmp_path,
            paths,
            f'[serve]\nhttps_port = 9443\n[routes]\napp = {here}\n"*.shop" = {nowhere}\n'
            'site = "./site"\nkept = { target = %d, hsts = "keep" }\n' % here,
        )
    assert found.apps == {f"127.0.0.1:{here}": "", f"127.0.0.1:{nowhere}": "nothing listens there"}
    assert found.missing_directories == (str(tmp_path / "site"),)
    assert (found.routes, found.kept, found.https_port) == (4, ("kept",), 9443)
    assert {"app.dev.local", "*.shop.test", "site.localhost"} <= set(found.hosts)


def test_a_unix_socket_is_connected_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "devtls.toml"
    monkeypatch.setattr(project, "find_config", lambda *_, **__: Found(file, explicit=True))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{home}/a.sock")
        listening.listen()
        text = f'[routes]\na = "unix:{home}/a.sock"\nb = "unix:{home}/b.sock"\n'
        found = look(home, Paths(home / "state", home / "config", home / "runtime"), text)
    assert found.apps == {f"unix:{home}/a.sock": "", f"unix:{home}/b.sock": "no such file or directory"}


@pytest.mark.parametrize(
    ("text", "forbidden", "said"),
    [
        ("[routes]\napp = { target = 3000, hots = 1 }\n", False, "hots"),
        ('[routes]\n"app.example.com" = 3000\n', False, "in none of the CA's zones"),
        ('[routes]\napp = { target = "http://192.0.2.1:80", allow_remote = true }\n', True, "allow"),
    ],
)
def test_what_is_refused_is_told_in_the_words_of_serve(
    tmp_path: Path, paths: Paths, text: str, forbidden: bool, said: str
) -> None:
    found = look(tmp_path, paths, text)
    assert found.refused is not None
    assert found.forbidden is forbidden
    assert said in f"{found.refused.sentence} {found.refused.hint}"
