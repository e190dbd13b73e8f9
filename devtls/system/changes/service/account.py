"""The account that every service gives of itself, and the command that it starts.

Owns the command of a service (the interpreter in full, `serve`, the file it was given), the few variables that go with
it, and the words for what is installed. Refuses to hand on any other variable: what a shell holds may be secret, and a
unit can be read by everybody.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard

from devtls.system.changes.change import AnyChange, Change, ChangeState, DesiredState, FactsT, Status

DIRECTORY_VARIABLES = (
    "DEVTLS_STATE_DIR",
    "DEVTLS_CONFIG_DIR",
    "DEVTLS_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
)
"""What a service needs to find the same directories as the shell that it was installed from."""

READ_LOG = "devtls service logs"
"""What to do about a service that is in place and does not run."""

_CONFIG = "--config"


@dataclass(frozen=True, slots=True)
class ServiceLogFile:
    """A log that is read as a file."""

    path: Path


@dataclass(frozen=True, slots=True)
class ServiceLogCommand:
    """A log that a program shows: `argv` and, to go on showing what comes, `follow`; both end before the count."""

    argv: tuple[str, ...]
    follow: tuple[str, ...]


Log: TypeAlias = ServiceLogFile | ServiceLogCommand


@dataclass(frozen=True, slots=True)
class Account:
    """The facts about an installed service.

    `place` is the file or name under which the system knows it, `argv` what it starts (empty = it could not be read),
    `pid` the process (0 = none, or the system does not tell), `trouble` half a sentence on why it does not run, `stop`
    the command that stops it until it is started again.
    """

    installed: bool
    place: str
    argv: tuple[str, ...] = ()
    enabled: bool = False
    running: bool = False
    pid: int = 0
    trouble: str = ""
    stop: tuple[str, ...] = ()

    @property
    def config(self) -> str:
        """The file that it was told to read, "" when it looks for one itself."""
        return config_of(self.argv)


class Service(Change[FactsT, DesiredState], Protocol[FactsT]):
    """A change that starts devtls by itself."""

    def account(self, facts: FactsT) -> Account:
        """Return the account of the service: whether it is installed, and whether it runs."""

    def log(self, facts: FactsT) -> Log:
        """Return the place of its log."""


AnyService: TypeAlias = Service[Any]


def is_service(change: AnyChange) -> TypeGuard[AnyService]:
    """Say whether a change starts devtls by itself: sockets that do are a change of ports."""
    return hasattr(change, "account")


def service_argv(desired: DesiredState, config: str, *extra: str) -> tuple[str, ...]:
    """Return the command of a service; `config` "" leaves the search to serve.

    The service works in the home directory, where `python -m` would look for modules first: -P says not to.
    """
    interpreter, *rest = desired.command
    # The service works in the home directory: a module there must not shadow a package's (-P, Python 3.11).
    safe = rest if "-P" in rest else ["-P", *rest]
    return (interpreter, *safe, "serve", *((_CONFIG, config) if config else ()), *extra)


def config_of(argv: tuple[str, ...]) -> str:
    """Return the file in a command of ours."""
    return argv[argv.index(_CONFIG) + 1] if _CONFIG in argv[:-1] else ""


def directory_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a service takes along."""
    return {name: environment[name] for name in DIRECTORY_VARIABLES if environment.get(name)}


def refusal_of_paths(desired: DesiredState, *paths: str) -> ChangeState | None:
    """Return the state for a path that no text file of a system can hold, None when all can be held.

    systemd passes over a line that is not UTF-8 and a variable with control characters; XML has no way to say them.
    """
    every = (*desired.command, *directory_variables(desired.environment).values(), *paths)
    # Cs: surrogateescape's mark of bytes that are not UTF-8.
    odd = next((path for path in every if any(unicodedata.category(char) in ("Cc", "Cs") for char in path)), None)
    if odd is None:
        return None
    detail = f"the path {odd!r} is not UTF-8, or has control characters, and no service can be told of it"
    return ChangeState(Status.MANUAL, detail, "Move that directory, or name another (DEVTLS_STATE_DIR, --config).")


@dataclass(frozen=True, slots=True)
class Filed:
    """A file of ours as it was found: `content` None = not there; `foreign` = there, but not ours to change."""

    path: Path
    content: bytes | None = field(default=None, repr=False)
    foreign: bool = False


def read_filed(path: Path, mark: bytes) -> Filed:
    """Return a file, which is ours when it is a regular file that holds `mark`; symlinks are not followed."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            return Filed(path, foreign=True)
        content = path.read_bytes()
    except FileNotFoundError:
        return Filed(path)
    except OSError:
        return Filed(path, foreign=True)
    return Filed(path, content, foreign=mark not in content)
