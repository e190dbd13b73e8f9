from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtls.errors import StateError
from devtls.system.machine import private_files
from devtls.system.machine.private_files import (
    check_private_directory,
    create_private_file,
    ensure_private_directory,
    locked,
    read_private_file,
    replace_private_file,
)


@pytest.fixture(params=[0o000, 0o022, 0o177], ids=lambda mask: f"umask {mask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_and_files_have_their_mode_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    directory = tmp_path / "a" / "b"
    ensure_private_directory(directory)
    create_private_file(directory / "key", b"secret")
    assert mode(tmp_path / "a") == mode(directory) == 0o700
    assert mode(directory / "key") == 0o600


def test_the_mode_is_right_in_the_very_call_that_creates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With umask 0 and every later chmod cut away, nobody else can read: there was no window."""
    before = os.umask(0)
    monkeypatch.setattr(os, "fchmod", lambda descriptor, mode: None)
    monkeypatch.setattr(os, "chmod", lambda path, mode, **options: None)
    try:
        ensure_private_directory(tmp_path / "state")
        create_private_file(tmp_path / "state" / "key", b"secret")
    finally:
        os.umask(before)
    assert mode(tmp_path / "state") == 0o700
    assert mode(tmp_path / "state" / "key") == 0o600


def test_an_empty_directory_of_ours_is_tightened(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    directory.chmod(0o755)
    ensure_private_directory(directory)
    assert mode(directory) == 0o700


def test_a_directory_with_something_in_it_is_refused_not_changed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "file").touch()
    (tmp_path / "state").chmod(0o755)
    with pytest.raises(StateError, match="open to other users") as caught:
        ensure_private_directory(tmp_path / "state")
    assert caught.value.hint == f"chmod go= {tmp_path / 'state'}"
    assert mode(tmp_path / "state") == 0o755


def test_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StateError, match="not a folder"):
        check_private_directory(tmp_path / "state")


def test_another_users_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_private_file(tmp_path / "key", b"secret")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StateError, match="another user") as caught:
        read_private_file(tmp_path / "key")
    assert caught.value.path == str(tmp_path / "key")


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, open_to: int) -> None:
    create_private_file(tmp_path / "key", b"secret")
    (tmp_path / "key").chmod(open_to)
    with pytest.raises(StateError, match=f"mode {open_to:04o}"):
        read_private_file(tmp_path / "key")


def test_links_are_neither_read_nor_written_through(tmp_path: Path) -> None:
    create_private_file(tmp_path / "key", b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="cannot be read"):
        read_private_file(tmp_path / "link")
    with pytest.raises(FileExistsError):
        create_private_file(tmp_path / "dangling", b"new")
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    ensure_private_directory(tmp_path / "key")
    with pytest.raises(StateError, match="not a file"):
        read_private_file(tmp_path / "key")


def test_a_fifo_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(StateError, match="not a file"):
        read_private_file(tmp_path / "key")


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    create_private_file(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_replacing_leaves_nothing_beside_it_and_clears_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"half")
    replace_private_file(tmp_path / "file", b"one")
    replace_private_file(tmp_path / "file", b"two")
    assert read_private_file(tmp_path / "file") == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    inside: list[str] = []
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "lock"):
            entered.set()
            leave.wait(5)
            inside.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(5)
    threading.Timer(0.05, leave.set).start()
    with locked(tmp_path / "lock"):
        inside.append("second")
    thread.join()
    assert inside == ["first", "second"]


def test_a_lock_whose_file_was_removed_by_its_holder_is_taken_anew(tmp_path: Path) -> None:
    lock, inside = tmp_path / "lock", threading.Event()

    def second() -> None:
        with locked(lock):
            assert lock.exists()
            inside.set()

    waiting = threading.Thread(target=second)
    with locked(lock):
        waiting.start()
        assert not inside.wait(0.05)
        lock.unlink()
    waiting.join(5)
    assert inside.is_set()


def test_a_lock_that_is_never_released_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_files, "_LOCK_TIMEOUT_S", 0.05)
    with (
        locked(tmp_path / "lock"),
        pytest.raises(StateError, match="Another devtls"),
        locked(tmp_path / "lock"),
    ):
        pass
