from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from devtls.system.changes.truststore.nss_profiles import find_notices, find_places, has_firefox
from devtls.system.machine.execute import Finished, NotFinished, ProcessRunner, Runner, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run


class Says:
    """A Runner whose programs all print the same."""

    def __init__(self, version: str | None) -> None:
        self.version = version
        self.started: list[str] = []

    def run(self, run: Run) -> Finished | NotFinished:
        self.started.append(run.argv[0])
        if self.version is None:
            return NotFinished(StepFailure.TIMED_OUT, "hangs")
        return Finished(0, self.version.encode())


def _directories(machine: Machine, runner: Runner | None = None, *, may_make: bool = True) -> list[str]:
    return [place.shown for place in find_places(machine, runner or Says(None), may_make=may_make)]


def _database(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cert9.db").touch()
    return directory


def test_every_existing_chromium_directory_counts(machine: Machine) -> None:
    old, new = machine.home / ".pki/nssdb", machine.home / ".local/share/pki/nssdb"
    old.mkdir(parents=True)
    assert _directories(machine) == ["~/.pki/nssdb"]
    new.mkdir(parents=True)
    assert _directories(machine) == ["~/.pki/nssdb", "~/.local/share/pki/nssdb"]
    old.rmdir()
    assert _directories(machine) == ["~/.local/share/pki/nssdb"]


@pytest.mark.parametrize(
    ("version", "directory"),
    [
        ("Chromium 156.0.8078.79 built on Debian GNU/Linux 12 (bookworm)", "~/.local/share/pki/nssdb"),
        ("Google Chrome 146.0.1.2", "~/.local/share/pki/nssdb"),
        ("Google Chrome 145.0.7632.1 ", "~/.pki/nssdb"),
        ("no number", "~/.local/share/pki/nssdb"),
        (None, "~/.local/share/pki/nssdb"),
    ],
)
def test_where_no_directory_exists_the_installed_version_decides(
    machine: Machine, make_tool: Callable[[str, str], Path], version: str | None, directory: str
) -> None:
    make_tool("usr/bin/chromium", "")
    assert _directories(machine, Says(version), may_make=False) == [directory]


def test_a_browser_under_two_names_is_asked_once(machine: Machine, make_tool: Callable[[str, str], Path]) -> None:
    tool = make_tool("usr/bin/google-chrome-stable", "")
    (tool.parent / "google-chrome").symlink_to(tool)
    runner = Says("Google Chrome 150.0.1.1")
    _directories(machine, runner)
    assert len(runner.started) == 1


def test_a_real_program_is_asked_for_its_version(machine: Machine, make_tool: Callable[[str, str], Path]) -> None:
    make_tool("usr/bin/chromium", "echo Chromium 120.0.6099.224")
    assert _directories(machine, ProcessRunner()) == ["~/.pki/nssdb"]


def test_without_browser_or_certutil_no_directory_is_invented(machine: Machine) -> None:
    assert _directories(machine, may_make=False) == []
    assert _directories(machine, may_make=True) == ["~/.local/share/pki/nssdb"]


def test_xdg_data_home_is_honoured(machine: Machine, tmp_path: Path) -> None:
    moved = Machine.redirected(machine.root, machine.home, {"XDG_DATA_HOME": str(tmp_path / "data")})
    assert _directories(moved) == [str(tmp_path / "data/pki/nssdb")]
    relative = Machine.redirected(machine.root, machine.home, {"XDG_DATA_HOME": "data"})
    assert _directories(relative) == ["~/.local/share/pki/nssdb"]


def test_snap_chromium_has_directories_of_its_own(machine: Machine) -> None:
    current = machine.home / "snap/chromium/current"
    current.mkdir(parents=True)
    assert _directories(machine, may_make=False) == ["~/snap/chromium/current/.local/share/pki/nssdb"]
    (current / ".pki/nssdb").mkdir(parents=True)
    assert _directories(machine, may_make=False) == ["~/snap/chromium/current/.pki/nssdb"]


@pytest.mark.parametrize(
    "base",
    [
        ".mozilla/firefox",
        ".config/mozilla/firefox",
        "snap/firefox/common/.mozilla/firefox",
        ".var/app/org.mozilla.firefox/.mozilla/firefox",
        ".var/app/org.mozilla.firefox/config/mozilla/firefox",
        ".librewolf",
        ".config/librewolf/librewolf",
        ".var/app/io.gitlab.librewolf-community/.librewolf",
        ".zen",
        ".config/zen",
        ".var/app/app.zen_browser.zen/.zen",
        ".waterfox",
        ".var/app/net.waterfox.waterfox/.waterfox",
        ".floorp",
        ".var/app/one.ablaze.floorp/.floorp",
    ],
)
def test_firefox_profiles_are_found_wherever_firefox_keeps_them(machine: Machine, base: str) -> None:
    _database(machine.home / base / "abc.default")
    (machine.home / base / "never-started").mkdir()
    (machine.home / base / "installs.ini").touch()
    assert _directories(machine, may_make=False) == [f"~/{base}/abc.default"]


def test_profiles_ini_names_profiles_anywhere(machine: Machine, tmp_path: Path) -> None:
    base = machine.home / ".mozilla/firefox"
    elsewhere = _database(tmp_path / "else where")
    _database(base / "Profiles/inner")
    _database(base / "plain")
    (base / "profiles.ini").write_text(
        f"[Install4F96D1932A9F858E]\nDefault=plain\n[Profile0]\nName=a\nIsRelative=0\nPath={elsewhere}\n"
        "[Profile1]\nIsRelative=1\nPath=Profiles/inner\n[Profile2]\nPath=plain\n[General]\nVersion=2\n"
    )
    assert _directories(machine, may_make=False) == [
        "~/.mozilla/firefox/plain",
        str(elsewhere),
        "~/.mozilla/firefox/Profiles/inner",
    ]


def test_a_broken_profiles_ini_does_not_hide_the_directories(machine: Machine) -> None:
    base = machine.home / ".mozilla/firefox"
    _database(base / "plain")
    (base / "profiles.ini").write_text("Path=without section\n")
    assert _directories(machine, may_make=False) == ["~/.mozilla/firefox/plain"]


def test_a_directory_that_is_a_file_is_no_directory(machine: Machine) -> None:
    (machine.home / ".librewolf").touch()
    assert _directories(machine, may_make=False) == []


def test_one_database_behind_two_names_is_one_store(machine: Machine) -> None:
    profile = _database(machine.home / ".mozilla/firefox/abc.default")
    (machine.home / ".librewolf").mkdir()
    (machine.home / ".librewolf/link").symlink_to(profile)
    assert _directories(machine, may_make=False) == ["~/.mozilla/firefox/abc.default"]


def test_flatpak_chromium_is_reported(machine: Machine) -> None:
    assert find_notices(machine) == ()
    (machine.home / ".var/app/com.google.Chrome").mkdir(parents=True)
    notices = find_notices(machine)
    assert len(notices) == 1
    assert "flatpak override" in notices[0].remedy


def test_a_flatpak_with_a_database_of_its_own_is_a_place_and_no_notice(machine: Machine) -> None:
    own = _database(machine.home / ".var/app/com.brave.Browser/data/pki/nssdb")
    assert _directories(machine, may_make=False) == [f"~/{own.relative_to(machine.home)}"]
    assert find_notices(machine) == ()
    kept = _database(machine.home / ".var/app/com.brave.Browser/.pki/nssdb")
    assert _directories(machine, may_make=False)[0] == f"~/{kept.relative_to(machine.home)}"


@pytest.mark.parametrize("snap", ["chromium", "brave", "opera", "vivaldi"])
def test_each_snap_is_followed_through_the_link_that_moves(machine: Machine, snap: str) -> None:
    revision = machine.home / "snap" / snap / "42"
    _database(revision / ".pki/nssdb")
    (machine.home / "snap" / snap / "current").symlink_to("42")
    assert _directories(machine, may_make=False) == [f"~/snap/{snap}/current/.pki/nssdb"]


def test_firefox_is_known_by_its_program_or_by_a_profile(
    machine: Machine, make_tool: Callable[[str, str], Path]
) -> None:
    assert not has_firefox(machine)
    _database(machine.home / ".zen/abc")
    assert not has_firefox(machine)
    _database(machine.home / ".config/mozilla/firefox/abc")
    assert has_firefox(machine)
    (machine.home / ".config/mozilla/firefox/abc/cert9.db").unlink()
    make_tool("usr/bin/firefox-esr", "")
    assert has_firefox(machine)


def test_tools_of_the_user_are_looked_for_on_path_first(
    machine: Machine, make_tool: Callable[[str, str], Path], tmp_path: Path
) -> None:
    system = make_tool("usr/bin/certutil", "")
    assert machine.user_tool("certutil") == system
    own = tmp_path / "bin" / "certutil"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    on_path = dataclasses.replace(machine, search_path=(str(own.parent),))
    assert on_path.user_tool("certutil") == own
    assert on_path.system_tool("certutil") == system


def test_this_machine_is_read_from_the_environment() -> None:
    here = Machine.here({"HOME": "/home/somebody", "PATH": "relative:/bin", "XDG_CONFIG_HOME": "/etc/xdg"})
    assert (here.home, here.search_path, here.config_home) == (Path("/home/somebody"), ("/bin",), Path("/etc/xdg"))
    assert here.tilde(Path("/home/somebody/x")) == "~/x"
    assert Machine.here({}).home == Path.home()
