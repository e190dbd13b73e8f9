"""The root of a static route: opens what lies in it, and nothing else.

Owns the walk from `/` to a file. The root is the real path that was judged when the route was permitted. Each of its
components is opened without following links: a directory that has become a link since then (a `git checkout` can do
that) leads nowhere, while one that a build removed and made anew is served again. Links inside of the root are followed
as long as they end in it. Refuses devtls's own directories by device and inode, however they come into the way (a
moved directory, a bind mount, another spelling on a file system that ignores case), and dot files unless they are
wanted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from devtls.config import StaticTarget

# Windows opens nothing relative to a directory: there the resolved path is opened instead.
_HAS_DIR_FD = os.open in os.supports_dir_fd
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# O_PATH asks for no right to read what is only passed through (open(2)); Linux has it, macOS does not.
_PASS_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _NO_FOLLOW
# O_BINARY: Windows would translate line ends; O_NONBLOCK: open of a FIFO waits for a writer (fifo(7)).
_READ = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# RFC 8615 3: the one dot directory that is meant to be asked for.
_WELL_KNOWN = ".well-known"


class Absence(Enum):
    """Why there is nothing to serve."""

    NO_FILE = "no file"
    DOT_FILE = "dot file"
    NO_INDEX = "no index"
    NO_PAGE = "no page"
    NO_ROOT = "no root"
    ROOT_MOVED = "root moved"


class FileMissing(Exception):
    """There is no such file, or it is none that may be served."""

    def __init__(self, absence: Absence = Absence.NO_FILE) -> None:
        super().__init__(absence.value)
        self.absence = absence


class StaticRoot:
    """The directory of one static target; `never_served` are devtls's own directories. Every call may block."""

    def __init__(self, target: StaticTarget, never_served: Sequence[Path]) -> None:
        self._root = Path(target.root)
        self._dotfiles = target.dotfiles
        self._never_served = never_served

    def path(self, segments: Sequence[str]) -> Path:
        """Return the path of what lies in the root."""
        return self._root.joinpath(*segments)

    def is_shown(self, segments: Sequence[str]) -> bool:
        """Say whether a path in the root has no component that is hidden by its dot."""
        return self._dotfiles or all(not part.startswith(".") or part == _WELL_KNOWN for part in segments)

    def open(self, segments: Sequence[str]) -> int:
        """Return a descriptor of the file or directory at a path in the root. Raises FileMissing."""
        if not self.is_shown(segments):
            raise FileMissing(Absence.DOT_FILE)
        with self._opened_root() as root:
            return self._open_in(root, self.resolve(segments))

    def resolve(self, segments: Sequence[str]) -> tuple[str, ...]:
        """Return a path in the root with its links followed. Raises FileMissing when it leads out of the root."""
        try:
            real = self._root.joinpath(*segments).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
            raise FileMissing from error
        if not real.is_relative_to(self._root):
            raise FileMissing
        inside = real.relative_to(self._root).parts
        # A link's name may lack the dot that its end has.
        if not self.is_shown(inside):
            raise FileMissing(Absence.DOT_FILE)
        return inside

    @contextmanager
    def _opened_root(self) -> Iterator[int | None]:
        """Open the root from `/` on, without following links; None where the system opens only whole paths."""
        if not _HAS_DIR_FD:
            self._check_whole_paths()
            yield None
            return
        current = os.open(self._root.anchor, _PASS_THROUGH)
        try:
            for part in self._root.parts[1:]:
                current = _step(current, self._open_root_part(part, current))
                self._refuse_own(current)
            yield current
        finally:
            os.close(current)

    def _open_root_part(self, part: str, above: int) -> int:
        try:
            return os.open(part, _PASS_THROUGH, dir_fd=above)
        except OSError as error:
            raise FileMissing(Absence.ROOT_MOVED if _is_link(part, above) else Absence.NO_ROOT) from error

    def _open_in(self, root: int | None, inside: Sequence[str]) -> int:
        if root is None:
            return self._open_whole_path(self._root.joinpath(*inside))
        # `.` opens the root once more: a descriptor of O_PATH reads nothing.
        *directories, last = inside or (".",)
        current = os.dup(root)
        try:
            # No link is followed: what was resolved a moment ago has none, unless it was swapped since.
            for part in directories:
                current = _step(current, os.open(part, _PASS_THROUGH, dir_fd=current))
                self._refuse_own(current)
            return self._checked(os.open(last, _READ, dir_fd=current))
        except OSError as error:
            raise FileMissing from error
        finally:
            os.close(current)

    def _open_whole_path(self, path: Path) -> int:
        for directory in path.parents:
            if any(own.exists() and directory.samefile(own) for own in self._never_served):
                raise FileMissing
        try:
            return self._checked(os.open(path, _READ))
        except OSError as error:
            raise FileMissing from error

    def _checked(self, descriptor: int) -> int:
        try:
            # Of the descriptor, not of the path, which may be another file by now.
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise FileMissing
            self._refuse_own(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _refuse_own(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        for directory in self._never_served:
            try:
                own = directory.stat()
            except OSError:  # not made yet
                continue
            if os.path.samestat(own, status):
                raise FileMissing

    def _check_whole_paths(self) -> None:
        if not self._root.is_dir():
            raise FileMissing(Absence.NO_ROOT)
        if self._root.resolve() != self._root:
            raise FileMissing(Absence.ROOT_MOVED)


def _step(left: int, entered: int) -> int:
    os.close(left)
    return entered


def _is_link(name: str, above: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    except OSError:  # it is not there at all
        return False
