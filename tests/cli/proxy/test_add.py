"""`devtls add`, `remove` and `list` on files, while nothing runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from devtls.cli.proxy.add import command as add
from devtls.cli.proxy.list import command as list_
from devtls.cli.proxy.reload import command as reload
from devtls.cli.proxy.remove import command as remove
from devtls.cli.proxy.status import command as status
from devtls.cli.proxy.stop import command as stop
from devtls.config.edit import NEW_FILE
from devtls.config.schema import SCHEMA_LINE, SCHEMA_NAME
from devtls.errors import ConfigError, NotAllowed, Refused
from devtls.system.machine.name_resolution import Resolves
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import Found, load_config

Run = Callable[..., Result]


@pytest.fixture
def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = home / "project"
    (directory / "web").mkdir(parents=True)
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def run(project: Path) -> Run:
    def invoke(command: click.Command, *arguments: str) -> Result:
        return CliRunner().invoke(command, arguments, standalone_mode=False)

    return invoke


def test_a_first_route_makes_a_file_that_explains_itself(project: Path, run: Run) -> None:
    shown = run(add, "app", "3000").output
    assert shown == "Written to a new devtls.toml: app = 3000\nThe next devtls serve uses it.\n"
    assert (project / "devtls.toml").read_bytes() == NEW_FILE + b"app = 3000\n"


def test_comments_stay_through_add_replace_and_remove(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project / "devtls.toml"
    file.write_text("# mine\n[routes]\napp = 3000 # the app\n\n# rare\n[limits]\nmax_fields = 100\n")
    monkeypatch.chdir(project / "web")
    assert "Added to" in run(add, "site", "./dist").output
    assert 'site = "./web/dist"\n\n# rare' in file.read_text()
    assert run(add, "APP", "4000").output.startswith(f"Changed in {'~/project/devtls.toml'}: app = 4000")
    assert "app = 4000 # the app\n" in file.read_text()
    assert "Removed from" in run(remove, "site").output
    assert file.read_text() == "# mine\n[routes]\napp = 4000 # the app\n\n# rare\n[limits]\nmax_fields = 100\n"


def test_without_routes_in_its_file_list_shows_how_to_add_one(project: Path, run: Run) -> None:
    (project / "devtls.toml").write_text("[routes]\n")
    assert run(list_).output == "No devtls serve runs; devtls.toml has no routes yet:\n\n  devtls add app 3000\n"


def test_global_and_named_files(project: Path, run: Run, home: Path) -> None:
    run(add, "app", "3000", "--global")
    assert b"app = 3000" in (home / "config/devtls.toml").read_bytes()
    run(add, "app", "4000", "--config", "other.toml")
    assert b"app = 4000" in (project / "other.toml").read_bytes()
    assert not (project / "devtls.toml").exists()
    assert "127.0.0.1:4000" in run(list_, "--config", "other.toml").output
    run(remove, "app", "--config", "other.toml")
    run(remove, "app", "--global")
    assert (home / "config/devtls.toml").read_bytes() == SCHEMA_LINE + NEW_FILE
    assert (home / "config" / SCHEMA_NAME).exists()


def test_json(run: Run, project: Path) -> None:
    told = json.loads(run(add, "app", "3000", "--json").output)
    file = str(project / "devtls.toml")
    line = "app = 3000"
    assert told == {"format": 1, "file": file, "created": True, "line": line, "replaced": None, "serves": []}
    told = json.loads(run(add, "App", "1", "--host", "upstream", "--json").output)
    assert (told["line"], told["replaced"]) == ('app = { target = 1, host = "upstream" }', "app")
    told = json.loads(run(list_, "--json").output)
    assert told["running"] is False
    assert [(route["name"], route["target"], route["line"]) for route in told["lists"][0]["routes"]] == [
        ("app", "127.0.0.1:1", 6)
    ]
    assert json.loads(run(remove, "app", "--json").output)["file"] == file


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [
        ("app.com", "1", "none of the CA's zones"),
        ("app", "0", "no port"),
        ("a b", "1", "not a host name"),
        ("own", "STATE", "never served"),
        ("own", "unix:STATE/run/control-1.sock", "never behind a route"),
    ],
)
def test_what_serve_would_refuse_is_not_written(project: Path, run: Run, name: str, target: str, told: str) -> None:
    state = str(Paths.from_environment().state_dir)
    result = run(add, name, target.replace("STATE", state))
    assert isinstance(result.exception, ConfigError)
    assert told in str(result.exception)
    assert "devtls.toml:" not in str(result.exception)
    assert not (project / "devtls.toml").exists()


def test_a_broken_file_is_left_alone(project: Path, run: Run) -> None:
    (project / "devtls.toml").write_text("[routes\n")
    assert isinstance(run(add, "app", "3000").exception, ConfigError)
    assert isinstance(run(remove, "app").exception, ConfigError)
    assert (project / "devtls.toml").read_text() == "[routes\n"


def test_ones_own_line_needs_no_permission(project: Path, run: Run) -> None:
    found, paths = Found(project / "devtls.toml", explicit=False), Paths.from_environment()
    run(add, "api", "10.0.0.1:80", "--allow-remote")
    assert len(load_config(found, paths).routes) == 1
    run(add, "app", "3000")
    assert len(load_config(found, paths).routes) == 2


def test_what_was_not_allowed_before_is_not_allowed_now(project: Path, run: Run) -> None:
    (project / "devtls.toml").write_text('[routes]\nsock = "unix:/run/app.sock"\n')
    assert run(add, "app", "3000").exit_code == 0
    with pytest.raises(NotAllowed):
        load_config(Found(project / "devtls.toml", explicit=False), Paths.from_environment())


def test_a_route_that_is_nowhere_cannot_be_removed(project: Path, run: Run) -> None:
    missing = run(remove, "app").exception
    assert isinstance(missing, ConfigError)
    assert "no devtls.toml here" in str(missing)
    run(add, "web", "1")
    assert "has no route app" in str(run(remove, "app").exception)


@pytest.mark.parametrize(
    "arguments",
    [
        (add, "a", "1", "--global", "--temporary"),
        (add, "a", "1", "--pid", "5"),
        (remove, "a", "--global", "--config", "x"),
    ],
)
def test_what_does_not_go_together_is_refused(run: Run, arguments: tuple[click.Command, str]) -> None:
    assert isinstance(run(*arguments).exception, click.UsageError)


def test_under_sudo_nothing_is_written(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for command, *arguments in ((add, "a", "1"), (remove, "a"), (list_,), (status,), (stop,), (reload,)):
        assert isinstance(run(command, *arguments).exception, Refused)
    assert not (project / "devtls.toml").exists()


def test_a_route_may_be_typed_as_devtls_serve_takes_it(project: Path, run: Run) -> None:
    assert "app = 3000" in run(add, "app=3000").output
    assert '"app/a=b" = 4000' in run(add, "app/a=b", "4000").output
    assert (project / "devtls.toml").read_text().endswith('app = 3000\n"app/a=b" = 4000\n')


def test_a_routes_target_may_not_be_left_out(run: Run) -> None:
    for typed in ("app", "3000", "app=", "=3000"):
        assert "A route has a name and a target: devtls add app 3000" in str(run(add, typed).exception)


def test_the_name_that_a_browser_opens_comes_first(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(add, "app", "3000")
    monkeypatch.setattr("devtls.operations.route_lists.resolve", lambda _: Resolves.NOWHERE)
    assert "  app.localhost  ->  127.0.0.1:3000  also app.dev.local, app.test\n" in run(list_).output
    monkeypatch.setattr("devtls.operations.route_lists.resolve", lambda _: Resolves.HERE)
    assert "  app.dev.local  ->  127.0.0.1:3000  also app.localhost, app.test\n" in run(list_).output
