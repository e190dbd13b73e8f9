"""The watch sees every way in which an editor, git or a deployment writes a file."""

from __future__ import annotations

import logging
import os
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devtls.system.machine import watch
from devtls.system.machine.watch import ConfigWatch, directories_of

DEADLINE_S = 5.0


class Watched:
    """A running watch and the changes it told."""

    def __init__(self, path: Path) -> None:
        self.changes: queue.Queue[str] = queue.Queue()
        self._path = path
        self.watch = ConfigWatch(path, self._note)

    def _note(self) -> None:
        self.changes.put(self._path.read_text() if self._path.exists() else "(gone)")

    def next(self) -> str:
        return self.changes.get(timeout=DEADLINE_S)

    def expect(self, content: str) -> None:
        """Wait until `content` was told; a step in between may be told or not, that is up to timing."""
        while self.next() != content:
            continue


@contextmanager
def watching(path: Path) -> Iterator[Watched]:
    watched = Watched(path)
    watched.watch.start()
    assert watched.watch.watching.wait(DEADLINE_S)
    try:
        yield watched
    finally:
        watched.watch.close()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Events must be enough: the safety poll would hide a missing one.
    monkeypatch.setattr(watch, "_SAFETY_POLL_S", 60.0)
    path = tmp_path / "devtls.toml"
    path.write_text("old")
    return path


def overwrite(path: Path) -> None:
    path.write_text("new")


def rename_over(path: Path) -> None:
    fresh = path.with_name(".devtls.toml.swp")
    fresh.write_text("new")
    fresh.replace(path)


def back_up_and_write(path: Path) -> None:
    path.rename(path.with_name("devtls.toml~"))
    path.write_text("new")


def delete_and_recreate(path: Path) -> None:
    path.unlink()
    path.write_text("new")


def same_size_and_old_times(path: Path) -> None:
    before = path.stat()
    path.write_text("new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "write", [overwrite, rename_over, back_up_and_write, delete_and_recreate, same_size_and_old_times]
)
def test_a_new_content_is_told(file: Path, write: Callable[[Path], None]) -> None:
    with watching(file) as watched:
        write(file)
        watched.expect("new")


def test_a_removed_file_is_told_and_so_is_its_return(file: Path) -> None:
    with watching(file) as watched:
        file.unlink()
        watched.expect("(gone)")
        file.write_text("back")
        watched.expect("back")


def test_another_mode_is_told_since_it_may_make_the_file_readable(file: Path) -> None:
    with watching(file) as watched:
        file.chmod(0o600)
        watched.expect("old")


def test_a_swapped_link_is_told(file: Path) -> None:
    first, second = file.with_name("one"), file.with_name("two")
    first.mkdir()
    second.mkdir()
    (first / "devtls.toml").write_text("first")
    (second / "devtls.toml").write_text("second")
    link = file.with_name("current")
    link.symlink_to("one")
    with watching(link / "devtls.toml") as watched:
        fresh = file.with_name("fresh")
        fresh.symlink_to("two")
        fresh.replace(link)
        watched.expect("second")
        (second / "devtls.toml").write_text("third")
        watched.expect("third")


def test_a_change_of_the_file_behind_a_link_is_told(file: Path) -> None:
    real = file.parent / "elsewhere" / "real.toml"
    real.parent.mkdir()
    real.write_text("old")
    file.unlink()
    file.symlink_to("elsewhere/real.toml")
    with watching(file) as watched:
        rename_over(real)
        watched.expect("new")


def test_a_burst_is_told_once(file: Path) -> None:
    with watching(file) as watched:
        for number in range(20):
            file.write_text(str(number))
        assert watched.next() == "19"
        assert watched.changes.empty()


def test_other_files_and_reading_are_no_change(file: Path) -> None:
    with watching(file) as watched:
        file.with_name("other.txt").write_text("other")
        file.read_text()
        overwrite(file)
        assert watched.next() == "new"
        assert watched.changes.empty()


def test_a_directory_that_was_made_again_is_watched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_SAFETY_POLL_S", 0.05)
    directory = tmp_path / "project"
    directory.mkdir()
    file = directory / "devtls.toml"
    file.write_text("old")
    with watching(file) as watched:
        file.unlink()
        directory.rmdir()
        watched.expect("(gone)")
        directory.mkdir()
        file.write_text("new")
        watched.expect("new")


def test_a_change_between_making_and_starting_is_told(file: Path) -> None:
    watched = Watched(file)
    file.write_text("early")
    watched.watch.start()
    watched.expect("early")
    watched.watch.close()
    watched.watch.close()


def test_without_inotify_it_looks_by_itself_and_says_so_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("watchdog.observers.api.BaseObserver.schedule", refuse)
    monkeypatch.setattr(watch, "_FALLBACK_POLL_S", 0.05)
    with caplog.at_level(logging.WARNING, "devtls.watch"), watching(file) as watched:
        overwrite(file)
        watched.expect("new")
        rename_over(file)
        watched.expect("new")
    assert len(caplog.records) == 1
    assert "fs.inotify.max_user_watches" in caplog.text


def test_a_watch_that_never_started_can_be_closed(file: Path) -> None:
    ConfigWatch(file, lambda: None).close()


def test_a_link_to_itself_ends(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    assert directories_of(loop) == [tmp_path]


def test_every_link_to_the_file_has_its_directory_watched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "real.toml").write_text("")
    (tmp_path / "a" / "link.toml").symlink_to("../b/real.toml")
    (tmp_path / "current").symlink_to("a")
    watched = directories_of(tmp_path / "current" / "link.toml")
    assert {tmp_path, tmp_path / "a", tmp_path / "b"} <= set(watched)
