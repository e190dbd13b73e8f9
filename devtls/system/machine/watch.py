"""A watch on the configuration file, however an editor writes it.

Owns one thread. It watches directories, not the file: editors write a new file and rename it over the old one (vim,
emacs, sed -i), and a link may be swapped in any directory that it leads through. Events only wake the thread up; what
counts is whether the file's identity (inode, size, times, mode) is another one after 100 ms of quiet, so reading the
file or a temporary file beside it is no change. A stat every two seconds catches what no event tells: a directory that
was deleted and made again, a network file system.

watchdog is the start-up policy's late import here: in the thread, after the listeners are open (60 ms). Where the
system gives no more inotify watches, the thread looks twice a second instead and says so once. Refuses nothing: the
caller reads the file and checks it.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

DEBOUNCE_S = 0.1
_LONGEST_DEBOUNCE_S = 1.0
_SAFETY_POLL_S = 2.0
_FALLBACK_POLL_S = 0.5
_MOST_LINKS = 40
"""As many links as Linux follows before ELOOP."""

_log = logging.getLogger("devtls.watch")

_USED_UP = {
    # inotify_init1(2), inotify_add_watch(2).
    errno.EMFILE: "This user has no inotify instance left (fs.inotify.max_user_instances)",
    errno.ENOSPC: "This user has no inotify watch left (fs.inotify.max_user_watches)",
}

Identity = tuple[str | int, ...] | None


class ConfigWatch:
    """Calls `on_change` after each change of `path`: written, replaced, removed, made again, another mode, another link
    target.

    Make it *before* the file is read for the first time, and no change is missed. `on_change` runs on the watch's own
    thread, carries no data, and must not raise; a loop is reached with `call_soon_threadsafe`.
    """

    def __init__(self, path: Path, on_change: Callable[[], None]) -> None:
        self._path = path.absolute()
        self._on_change = on_change
        self._seen = identity(self._path)
        self._woken = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="devtls-config-watch", daemon=True)
        self.watching = threading.Event()
        """Set as soon as changes are noticed, by events or by looking."""

    def start(self) -> None:
        """Begin; returns at once. Once is enough: a second call does nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """End the thread and wait for it; `on_change` is not called any more. May be called twice, or without start."""
        self._closing = True
        self._woken.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        events = _DirectoryEvents(self._woken)
        try:
            while not self._closing:
                poll_s = _SAFETY_POLL_S if events.cover(directories_of(self._path)) else _FALLBACK_POLL_S
                # After the watches are set: a change before that is seen here, a later one by its event.
                self._report_change()
                self.watching.set()
                if self._woken.wait(poll_s):
                    self._wait_for_quiet()
        finally:
            events.close()

    def _wait_for_quiet(self) -> None:
        deadline = time.monotonic() + _LONGEST_DEBOUNCE_S
        while not self._closing and time.monotonic() < deadline:
            # Before the wait: what comes in between wakes it up at once.
            self._woken.clear()
            if not self._woken.wait(DEBOUNCE_S):
                return

    def _report_change(self) -> None:
        now = identity(self._path)
        if now != self._seen and not self._closing:
            self._seen = now
            self._on_change()


class _DirectoryEvents:
    """watchdog over the directories that matter; without it (`broken`) the thread looks by itself."""

    def __init__(self, woken: threading.Event) -> None:
        self._woken = woken
        self._observer: BaseObserver | None = None
        self._covered: frozenset[tuple[str, int, int]] = frozenset()
        self._broken = False

    def cover(self, directories: list[Path]) -> bool:
        """Watch exactly `directories`, as they are now; False when events do not work here."""
        if self._broken:
            return False
        wanted = frozenset(entry for directory in directories if (entry := _directory_identity(directory)) is not None)
        if wanted == self._covered and self._observer is not None:
            return True
        try:
            self._watch(wanted)
        except FileNotFoundError:
            self._covered = frozenset()  # gone since we looked: the next look tries again
        except (OSError, ImportError) as error:
            self.close()
            self._broken = True
            _log.warning("%s: the configuration is looked at twice a second.", _why_no_events(error))
        return not self._broken

    def _watch(self, wanted: frozenset[tuple[str, int, int]]) -> None:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler
        from watchdog.observers import Observer

        woken = self._woken

        class Waker(FileSystemEventHandler):
            def dispatch(self, event: FileSystemEvent) -> None:
                if event.event_type not in ("opened", "closed_no_write"):  # our own reading is no change
                    woken.set()

        if self._observer is None:
            observer = Observer()
            observer.start()
            self._observer = observer
        self._observer.unschedule_all()
        self._covered = frozenset()
        for directory, _, _ in wanted:
            self._observer.schedule(Waker(), directory, recursive=False)
        self._covered = wanted

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None


def identity(path: Path) -> Identity:
    """Return what is another value after every change of the file behind `path`; None when there is none."""
    try:
        status = path.stat()
        place = os.path.realpath(path)
    except OSError:
        return None
    # ctime, too: cp -p and rsync -t set the modification time back.
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (place, status.st_dev, status.st_ino, status.st_size, status.st_mode, *times)


def directories_of(path: Path) -> list[Path]:
    """Return the directory of `path` and of every link that it leads through: where a change can happen."""
    directories = [path.parent]
    left = _MOST_LINKS
    # The outermost link first: what stands above it is free of links, so that `..` in its target means what it says.
    while left and (link := next((part for part in (*reversed(path.parents), path) if part.is_symlink()), None)):
        left -= 1
        directories.append(link.parent)
        path = Path(os.path.normpath(link.parent / link.readlink())) / path.relative_to(link)
        directories.append(path.parent)
    return list(dict.fromkeys(directories))


def _directory_identity(directory: Path) -> tuple[str, int, int] | None:
    try:
        status = directory.stat()
    except OSError:
        return None
    return str(directory), status.st_dev, status.st_ino


def _why_no_events(error: OSError | ImportError) -> str:
    """Return the reason in words of ours: watchdog's own differ from system to system."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        return "File events do not work here"
    return _USED_UP.get(number, f"File events do not work here ({os.strerror(number)})")
