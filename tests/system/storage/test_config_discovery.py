"""Which devtls.toml counts, and that reading one never hangs or goes wrong silently."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devtls.config import StaticTarget, UnixTarget
from devtls.errors import ConfigError, NotAllowed
from devtls.system.machine.paths import Paths
from devtls.system.storage import config_discovery as discovery
from devtls.system.storage.config_discovery import Found, find_config, load_config, named_config, read_config_file


class Machine:
    """A home with a project in it, and a config folder."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.project = self.home / "src" / "project"
        self.config_dir = root / "config"
        self.project.mkdir(parents=True)
        self.config_dir.mkdir()
        self.paths = Paths(root / "state", self.config_dir, root / "run")

    def find(self, start: Path | None = None) -> Path | None:
        found = find_config(start or self.project, home=self.home, config_dir=self.config_dir)
        return found.path if found else None


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def write(directory: Path, content: str = "") -> Path:
    path = directory / "devtls.toml"
    path.write_text(content)
    return path


def test_no_file_anywhere(machine: Machine) -> None:
    assert machine.find() is None


def test_the_nearest_file_upwards_counts(machine: Machine) -> None:
    users = write(machine.config_dir)
    assert machine.find() == users
    at_home = write(machine.home)
    assert machine.find() == at_home
    near = write(machine.project)
    assert machine.find() == near
    (machine.project / "deep" / "er").mkdir(parents=True)
    assert machine.find(machine.project / "deep" / "er") == near


def test_the_search_ends_at_home(machine: Machine) -> None:
    write(machine.home.parent)
    assert machine.find() is None
    assert machine.find(machine.home) is None


def test_outside_of_home_the_search_goes_to_the_root(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "srv" / "app").mkdir(parents=True)
    above = write(tmp_path)
    assert machine.find(tmp_path / "srv" / "app") == above


def test_a_found_file_is_not_a_named_one(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(machine.project)
    found = find_config(machine.project, home=machine.home, config_dir=machine.config_dir)
    assert found == Found(path, explicit=False)
    monkeypatch.chdir(machine.project)
    assert named_config(Path("devtls.toml")) == Found(path, explicit=True)


def test_the_users_own_file_is_searched_for_too_and_needs_the_same_word(machine: Machine) -> None:
    write(machine.config_dir)
    found = find_config(machine.project, home=machine.home, config_dir=machine.config_dir)
    assert found is not None
    assert not found.explicit


def test_a_file_of_another_user_is_passed_over(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(machine.project)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert machine.find() == (path if owner == 0 else None)
    assert discovery._may_configure(4711)
    assert discovery._may_configure(0)
    assert not discovery._may_configure(4712)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert discovery._may_configure(4712)


def test_what_is_no_file_is_passed_over(machine: Machine) -> None:
    (machine.project / "devtls.toml").mkdir()
    (machine.project.parent / "devtls.toml").symlink_to("nowhere")
    os.mkfifo(machine.home / "devtls.toml")
    assert machine.find() is None


def test_reading_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        read_config_file(tmp_path / "none.toml")
    assert caught.value.hint == "Check the path."


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_reading_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "devtls.toml"
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(ConfigError, match="no regular file"):
        read_config_file(path)


def test_a_closed_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match="Permission denied") as caught:
        read_config_file(tmp_path / "devtls.toml")
    assert caught.value.hint.startswith("ls -l")


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "devtls.toml"
    with path.open("wb") as file:
        file.truncate(1 << 32)
    assert len(read_config_file(path)) == (1 << 20) + 1
    with pytest.raises(ConfigError, match="1 MiB"):
        load_config(named_config(path), Paths(tmp_path, tmp_path, tmp_path))


def test_paths_in_the_file_count_from_the_file(machine: Machine) -> None:
    path = write(machine.project, '[routes]\ndocs = { static = "site" }\nsock = "unix:app.sock"')
    for name in ("site", "app.sock"):
        (machine.project / name).symlink_to("build")
    config = load_config(named_config(path), machine.paths)
    # What is permitted from here on is where the link leads now.
    pinned = StaticTarget(f"{machine.project}/site", root=os.path.realpath(machine.project / "build"))
    assert config.routes[0].target == pinned
    assert config.routes[1].target == UnixTarget(f"{machine.project}/app.sock", real=pinned.root)


def test_a_found_file_needs_a_word_for_what_a_named_one_may_do(machine: Machine) -> None:
    path = write(machine.project, '[routes]\nsock = "unix:/run/app.sock"')
    assert len(load_config(Found(path, explicit=True), machine.paths).routes) == 1
    with pytest.raises(NotAllowed):
        load_config(Found(path, explicit=False), machine.paths)


def test_not_even_a_named_file_may_route_to_our_own_socket(machine: Machine) -> None:
    path = write(machine.project, f'[routes]\nsock = "unix:{machine.paths.runtime_dir}/control.sock"')
    with pytest.raises(ConfigError, match="devtls's own"):
        load_config(Found(path, explicit=True), machine.paths)


def test_what_was_passed_over_is_described(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def obstacle() -> str:
        return discovery.describe_obstacle(machine.project, home=machine.home)

    assert obstacle() == ""
    above = machine.home / "src" / "devtls.toml"
    above.mkdir()
    assert obstacle() == f"{above} is a directory, not a file, and was passed over."
    near = machine.project / "devtls.toml"
    near.symlink_to("nowhere")
    assert obstacle() == f"{near} is a link that leads nowhere, and was passed over."
    near.unlink()
    os.mkfifo(near)
    assert obstacle() == f"{near} is no regular file, and was passed over."
    near.unlink()
    near.symlink_to("devtls.toml")
    assert "cannot be read (" in obstacle()
    near.unlink()
    near.write_text("")
    above.rmdir()
    assert obstacle() == ""
    monkeypatch.setattr(discovery, "_may_configure", lambda _: False)
    assert obstacle() == f"{near} belongs to another user, and was passed over."


class Owners:
    """A link that belongs to another user, in the place of `lstat`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, foreign: Path) -> None:
        lstat = Path.lstat
        about = lstat(foreign)
        changed = os.stat_result((*about[:4], 4242, *about[5:10]))
        monkeypatch.setattr(Path, "lstat", lambda path: changed if path == foreign else lstat(path))
        monkeypatch.setattr(discovery, "_may_configure", lambda owner: owner != 4242)


def test_a_link_of_another_user_chooses_none_of_our_files(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = write(machine.config_dir, "[routes]\napp = 3000\n")
    link = machine.project / "devtls.toml"
    link.symlink_to(elsewhere)
    assert machine.find() == link
    Owners(monkeypatch, link)
    assert machine.find() == elsewhere
    assert "belongs to another user" in discovery.describe_obstacle(machine.project, home=machine.home)
    with pytest.raises(ConfigError, match="a link to it, belongs to another user"):
        load_config(Found(link, explicit=False), machine.paths)
    assert load_config(Found(link, explicit=True), machine.paths).routes


def test_a_link_in_the_middle_counts_as_well(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = write(machine.config_dir)
    middle, link = machine.home / "middle", machine.project / "devtls.toml"
    middle.symlink_to(elsewhere)
    link.symlink_to("../../middle")
    assert machine.find() == link
    Owners(monkeypatch, machine.project / "../../middle")
    assert machine.find() == elsewhere


def test_a_name_that_no_file_can_have_is_refused(machine: Machine) -> None:
    with pytest.raises(ConfigError, match="too long for a file"):
        named_config(machine.project / ("x" * 100_000))
