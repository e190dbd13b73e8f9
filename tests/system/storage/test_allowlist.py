"""The memory of `devtls allow`: by path and content, private, and never in the way of a broken file."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.config import Config, parse_config
from devtls.errors import ConfigError, NotAllowed, StateError
from devtls.system.machine.paths import Paths
from devtls.system.storage.allowlist import Allowlist, check_allowed, check_private_sockets, reasons_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WANTS_SOCKET = b'[routes]\napp = "unix:/run/app.sock"\n'


@pytest.fixture
def allowlist(tmp_path: Path) -> Allowlist:
    return Allowlist(tmp_path / "state")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "devtls.toml"
    path.parent.mkdir()
    path.write_bytes(WANTS_SOCKET)
    return path


def parse(data: bytes, file: Path) -> Config:
    return parse_config(data, source=str(file), directory=str(file.parent))


def check(data: bytes, file: Path, allowlist: Allowlist) -> None:
    check_allowed(parse(data, file), file, data, allowlist)


def remember(file: Path, data: bytes, allowlist: Allowlist) -> None:
    allowlist.remember(file, data, reasons_of(parse(data, file), file), NOW)


def test_what_was_not_allowed_is_refused_with_the_command_that_allows_it(file: Path, allowlist: Allowlist) -> None:
    with pytest.raises(NotAllowed) as caught:
        check(WANTS_SOCKET, file, allowlist)
    assert caught.value.hint == f"devtls allow {file}"
    assert (caught.value.source, caught.value.key, caught.value.line) == (str(file), "routes.app", 2)
    assert "Unix socket /run/app.sock" in str(caught.value)


def test_a_section_that_needs_a_word_is_named_as_one(file: Path, allowlist: Allowlist) -> None:
    with pytest.raises(NotAllowed, match="this section gives certificates of your CA") as caught:
        check(b"[acme]\nenabled = true\n", file, allowlist)
    assert (caught.value.key, caught.value.line) == ("acme", 2)


def test_several_reasons_are_counted(file: Path, allowlist: Allowlist) -> None:
    with pytest.raises(NotAllowed, match="and 1 more"):
        check(WANTS_SOCKET + b'b = "unix:/run/b.sock"', file, allowlist)


def test_an_allowed_file_passes_until_its_content_changes(file: Path, allowlist: Allowlist) -> None:
    remember(file, WANTS_SOCKET, allowlist)
    check(WANTS_SOCKET, file, allowlist)
    with pytest.raises(NotAllowed):
        check(WANTS_SOCKET + b"# changed", file, allowlist)


def test_the_same_content_elsewhere_is_another_file(file: Path, tmp_path: Path, allowlist: Allowlist) -> None:
    remember(file, WANTS_SOCKET, allowlist)
    with pytest.raises(NotAllowed):
        check(WANTS_SOCKET, tmp_path / "devtls.toml", allowlist)


def test_another_path_to_the_same_file_is_the_same_file(file: Path, tmp_path: Path, allowlist: Allowlist) -> None:
    remember(file, WANTS_SOCKET, allowlist)
    (tmp_path / "link").symlink_to(file.parent)
    check(WANTS_SOCKET, tmp_path / "link" / "devtls.toml", allowlist)


def test_a_harmless_file_needs_no_memory(file: Path, tmp_path: Path, allowlist: Allowlist) -> None:
    check(b"[routes]\napp = 3000", file, allowlist)
    assert not (tmp_path / "state").exists()


def test_a_directory_that_is_a_link_to_elsewhere_is_refused_and_so_is_a_link_that_was_turned(
    file: Path, tmp_path: Path, allowlist: Allowlist
) -> None:
    data = b'[routes]\ndocs = { static = "site" }'
    site = file.parent / "site"
    site.mkdir()
    check(data, file, allowlist)
    site.rmdir()
    site.symlink_to(tmp_path)
    with pytest.raises(NotAllowed, match="serves the folder"):
        check(data, file, allowlist)
    remember(file, data, allowlist)
    check(data, file, allowlist)
    site.unlink()
    site.symlink_to("/etc")
    with pytest.raises(NotAllowed, match="/etc"):
        check(data, file, allowlist)


def test_the_memory_is_private(file: Path, tmp_path: Path, allowlist: Allowlist) -> None:
    remember(file, WANTS_SOCKET, allowlist)
    memory = tmp_path / "state" / "allowed.json"
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.parent.stat().st_mode) == 0o700
    memory.chmod(0o644)
    with pytest.raises(StateError):
        check(WANTS_SOCKET, file, allowlist)


def test_entries_and_revoking(file: Path, tmp_path: Path, allowlist: Allowlist) -> None:
    other = tmp_path / "a.toml"
    assert not allowlist.revoke(file)
    remember(file, WANTS_SOCKET, allowlist)
    remember(other, WANTS_SOCKET, allowlist)
    assert [entry.path for entry in allowlist.entries()] == [str(other), str(file)]
    assert allowlist.entries()[0].allowed_at == "2026-01-02T03:04:05+00:00"
    assert allowlist.revoke(file)
    assert not allowlist.revoke(file)
    with pytest.raises(NotAllowed):
        check(WANTS_SOCKET, file, allowlist)
    check(WANTS_SOCKET, other, allowlist)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"{}", b"\xff", b'{"format": 1}', b'{"format": 1, "files": []}'),
        b'{"format": 1, "files": {"/x": {}}}',
        pytest.param(b"[" * 100_000, id="nested"),
    ],
)
def test_a_damaged_memory_is_told_and_allows_nothing(
    content: bytes, file: Path, tmp_path: Path, allowlist: Allowlist
) -> None:
    remember(file, WANTS_SOCKET, allowlist)
    (tmp_path / "state" / "allowed.json").write_bytes(content)
    with pytest.raises(StateError, match="damaged") as caught:
        check(WANTS_SOCKET, file, allowlist)
    assert caught.value.hint


def test_a_memory_of_a_newer_devtls_is_left_alone(file: Path, tmp_path: Path, allowlist: Allowlist) -> None:
    remember(file, WANTS_SOCKET, allowlist)
    memory = tmp_path / "state" / "allowed.json"
    newer = json.dumps({"format": 2, "files": {}}).encode()
    memory.write_bytes(newer)
    with pytest.raises(StateError, match="newer"):
        remember(file, WANTS_SOCKET, allowlist)
    assert memory.read_bytes() == newer


def test_our_own_sockets_are_never_behind_a_route(file: Path, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state", tmp_path / "config", tmp_path / "run")
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to("state")
    for place in ("state/x.sock", "run/control.sock", "link/x.sock", "project/../state/x.sock"):
        config = parse(f'[routes]\napp = "unix:{tmp_path}/{place}"'.encode(), file)
        with pytest.raises(ConfigError, match="devtls's own") as caught:
            check_private_sockets(config, paths)
        assert (caught.value.key, caught.value.line) == ("routes.app", 2)
    check_private_sockets(parse(f'[routes]\napp = "unix:{tmp_path}/app.sock"'.encode(), file), paths)
    for site in (tmp_path, *paths.private(), paths.config_dir / "site"):
        with pytest.raises(ConfigError, match="the CA's key"):
            check_private_sockets(parse(f'[routes]\napp = {{ static = "{site}" }}'.encode(), file), paths)


def test_the_command_in_the_hint_can_be_pasted(tmp_path: Path, allowlist: Allowlist) -> None:
    with pytest.raises(NotAllowed) as caught:
        check(WANTS_SOCKET, tmp_path / "my; project" / "devtls.toml", allowlist)
    assert caught.value.hint == f"devtls allow '{tmp_path}/my; project/devtls.toml'"


def test_a_directory_that_takes_no_files_is_named(file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(StateError, match="cannot be written"):
        Allowlist(tmp_path / "taken").remember(file, b"", [], datetime.now(UTC))
