"""Administrator rights for a single command: how it gets them, and which programs and files it may name.

Owns the order (real root needs nothing, then sudo, doas, pkexec) and the rule for every elevated command: a program is
elevated only when root owns it and each directory on its path, nobody else can write any of them, and it is what its
name says. Refuses links to another program, scripts whose interpreter breaks the rule, and paths that a user can swap
for others while somebody types a password: a sticky directory, where everybody may make files, does not help. Finding
sudo does not promise that it says yes.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from devtls.system.machine.plan import ALREADY_ROOT, Elevation

SYSTEM_DIRECTORIES = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/local/sbin", "usr/local/bin")
"""Where tools that may be elevated are looked for, below the root of the file system."""

ELEVATED_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of an elevated command; not /usr/local, which Homebrew gives to a user."""

_WRAPPERS = "run/wrappers/bin"  # NixOS keeps its setuid programs there
_SYSTEM = Path("/")
_OTHERS_WRITE = stat.S_IWOTH
_ANY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # as Linux has it (path_resolution(7))
# Ubuntu 25.10 leads sudo to sudo-rs, and the older one is sudo.ws there.
_OTHER_NAMES = {"sudo": ("sudo-rs", "sudo.ws")}
# One program for many names, which does what the name says that it was started by: BusyBox, uutils, coreutils.
_MULTI_CALL = ("busybox", "coreutils", "uu-coreutils", "toybox")
_IN_MULTI_CALL = frozenset({"install", "tee", "chmod", "mv", "cp", "rm", "rmdir", "mkdir", "sysctl", "killall"})
_JDK_DIRECTORIES = ("bin", "lib", "conf", "jre")
"""The directories of a JDK from which its tools load code and settings."""
_JDK_MARKS = ("release", "lib/security/cacerts", "jre/lib/security/cacerts")
_LONGEST_FIRST_LINE = 512


def find_elevation(effective_uid: int, root: Path = _SYSTEM) -> Elevation | None:
    """Return how to elevate one command, or None when there is no way."""
    if effective_uid == 0:
        return ALREADY_ROOT
    for name in ("sudo", "doas", "pkexec"):
        tool = find_elevated_tool((name,), root, (_WRAPPERS, *SYSTEM_DIRECTORIES))
        if tool is not None:
            return Elevation(name, (str(tool),))
    return None


def find_tool(
    names: Iterable[str], directories: Iterable[str] = SYSTEM_DIRECTORIES, root: Path = _SYSTEM
) -> Path | None:
    """Return the first of `names` that is an executable file in `directories` below `root`, or None."""
    return next(_tools(names, directories, root), None)


def find_elevated_tool(
    names: Iterable[str], root: Path = _SYSTEM, directories: Iterable[str] = SYSTEM_DIRECTORIES
) -> Path | None:
    """Return the first of `names` that may be elevated, or None."""
    return next((tool for tool in _tools(names, directories, root) if not refusal_to_elevate(tool, root)), None)


def _tools(names: Iterable[str], directories: Iterable[str], root: Path) -> Iterator[Path]:
    places = list(directories)
    for name in names:
        for directory in places:
            candidate = root / directory / name
            # access(2) first: it does not raise for a directory of PATH that is closed to this user.
            if os.access(candidate, os.X_OK) and candidate.is_file():
                yield candidate


def refusal_of_tools(names: Iterable[str], root: Path = _SYSTEM) -> str:
    """Return why the first tool of these names must not be elevated, "" when there is none, or one that may."""
    refusals = [refusal_to_elevate(tool, root) for tool in _tools(names, SYSTEM_DIRECTORIES, root)]
    return refusals[0] if refusals and all(refusals) else ""


def refusal_to_elevate(program: Path, root: Path = _SYSTEM) -> str:
    """Return half a sentence on why `program` must not be run as root, "" when it may be, or is not there.

    `root` is the root of the file system; below another one than "/" this user is taken for root.
    """
    if sys.platform == "win32":  # programs are named by the system's own directory there, and owners are not numbers
        return ""
    final, why = _walk(program, root)
    if not why and final.name != program.name and not _is_other_name(program.name, final.name):
        why = f"it leads to {final}, which is another program"
    if not why:
        why = _refusal_of_interpreter(final, root)
    return f"{program} is not run as root: {why}" if why else ""


def refusal_to_start(program: Path, root: Path = _SYSTEM) -> str:
    """Return why root must not start `program`, "" when nobody else can change it: it may have another name."""
    if sys.platform == "win32":
        return ""
    final, why = _walk(program, root)
    return why or _refusal_of_interpreter(final, root)


def _is_other_name(name: str, final: str) -> bool:
    # Ubuntu and Arch keep GNU's and uutils' side by side under such names.
    variants = (f"gnu{name}", f"uu-{name}", *_MULTI_CALL)
    return final in _OTHER_NAMES.get(name, ()) or (name in _IN_MULTI_CALL and final in variants)


def _refusal_of_interpreter(script: Path, root: Path) -> str:
    try:
        with script.open("rb") as opened:
            first = opened.read(_LONGEST_FIRST_LINE)
    except OSError:  # it is not there, or a program that nobody may read: sudo itself is such
        return ""
    words = first.partition(b"\n")[0][2:].decode("utf-8", "surrogateescape").split()
    if first[:2] != b"#!" or not words:
        return ""
    interpreters = [Path(words[0])]
    if Path(words[0]).name == "env":
        named = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
        interpreters += [tool] if named and (tool := find_tool((named,), ELEVATED_PATH.split(":"))) else []
    for interpreter in interpreters:
        _, why = _walk(interpreter, root)
        if why:
            return f"its interpreter is {interpreter}, and {why}"
    return ""


def refusal_of_jdk(keytool: Path, root: Path = _SYSTEM) -> str:
    """Return why a JDK's own tool must not be run as root: its code and settings lie beside it, in many files."""
    refused = refusal_to_elevate(keytool, root)
    if refused or sys.platform == "win32":
        return refused
    home = keytool.resolve().parent.parent
    if not any((home / mark).exists() for mark in _JDK_MARKS):  # a program that looks for a JDK itself
        return ""
    for directory in _JDK_DIRECTORIES:
        for at, _, names in os.walk(home / directory):
            for path in (Path(at), *(Path(at, name) for name in names)):
                _, why = _walk(path, root) if path.is_symlink() else (path, _refusal_of_entry(path, root))
                if why:
                    return f"{keytool} is not run as root: {why}"
    return ""


def refusal_to_touch(path: Path, root: Path = _SYSTEM) -> str:
    """Return half a sentence on why root must not read or write `path`, "" when it may.

    Nobody but root can put a link or another file in its place. A group that this user is not in may write there: it
    was given that right by somebody who could. The file itself may be another's, as long as its directory is root's
    alone: its owner can change what is in it, not what it is.
    """
    if sys.platform == "win32":
        return ""
    last = path.parent if path.is_file() and not path.is_symlink() else path
    _, why = _walk(last, root, writers=_OTHERS_WRITE)
    return f"{path} is left alone as root: {why}" if why else ""


def _walk(path: Path, root: Path, *, writers: int = _ANY_WRITE) -> tuple[Path, str]:
    """Follow `path` entry by entry; return where it ends, and why somebody else than root decides that ("" = no)."""
    at, left = _start(path, root)
    links = 0
    if at == _SYSTEM and (why := _refusal_of_entry(at, root, writers)):
        return at, why
    while left:
        entry = at.parent if left[0] == ".." else at / left[0]
        try:
            target = entry.readlink() if entry.is_symlink() else None
        except OSError as error:
            return entry, f"{entry} cannot be read: {error.strerror}"
        if target is not None:
            links += 1
            if links > _MOST_LINKS:
                return entry, f"{entry} is a link that leads to itself"
            at, parts = _start(target, root) if target.is_absolute() else (at, list(target.parts))
            left = [*parts, *left[1:]]
            continue
        if why := _refusal_of_entry(entry, root, writers):
            return entry, why
        at, left = entry, left[1:]
    return at, ""


def _start(path: Path, root: Path) -> tuple[Path, list[str]]:
    """Return the directory from which a path is walked, and its parts below that: a redirected root is not doubted."""
    if root != _SYSTEM and path.is_relative_to(root):
        return root, list(path.relative_to(root).parts)
    return _SYSTEM, list(path.parts[1:])


def _refusal_of_entry(path: Path, root: Path, writers: int = _ANY_WRITE) -> str:
    if sys.platform == "win32":
        return ""
    try:
        about = path.lstat()
    except FileNotFoundError:  # what is not there is made by root, in a directory that was looked at
        return ""
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    redirected = root != _SYSTEM and path.is_relative_to(root)
    if about.st_uid != 0 and not (redirected and about.st_uid == os.geteuid()):
        return f"{path} belongs to user {about.st_uid}"
    # Access control lists count here as well: their mask stands in the bits of the group (acl(5)).
    if about.st_mode & writers:
        return f"{path} can be written by others than root"
    # macOS' lists do not show in the mode.
    if not redirected and os.geteuid() != 0 and os.access(path, os.W_OK):
        return f"{path} can be written by this user"
    return ""
