"""The running proxies of this user, as the commands meet them: found, chosen, asked over their control sockets.

Owns the client's side of the control API. Refuses sockets of other users. A proxy that was killed is passed over in
silence; one that does not answer is named.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from devtls.cli import show
from devtls.cli.proxy.control_client import send
from devtls.errors import DevtlsError, ExitCode, NotRunning, Refused, StateError
from devtls.system.control.channel import end_by_force, find_channels
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.web.control_messages import ABOUT, About, Done, ErrorInfo

if TYPE_CHECKING:
    from devtls.system.control.channel import Place

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class Running(msgspec.Struct, frozen=True):
    """A proxy that answers."""

    place: Place
    about: About

    @property
    def label(self) -> str:
        """What it is called in a sentence."""
        return f"devtls serve (process {self.about.pid})"

    def reads(self, file: Path) -> bool:
        """Say whether its routes come from `file`."""
        own = self.about.config_file
        return own is not None and os.path.realpath(own) == os.path.realpath(file)

    def get(self, path: str, kind: type[_Answer]) -> _Answer:
        """Return an answer. Raises DevtlsError."""
        return _ask(self.place, "GET", path, None, kind)

    def ask(self, path: str, request: msgspec.Struct, kind: type[_Answer]) -> _Answer:
        """Return the answer to a question that needs words. Raises DevtlsError."""
        return _ask(self.place, "POST", path, msgspec.json.encode(request), kind)

    def order(self, path: str, request: msgspec.Struct) -> Done:
        """Return what came of a request; what went wrong is in it. Raises DevtlsError when nothing came."""
        return self.ask(path, request, Done)


def nothing_runs() -> NotRunning:
    """Return the error for a user who has no running proxy."""
    return NotRunning("No devtls serve of yours runs.", hint="devtls serve app=3000")


def refuse_sudo_for(command: str) -> None:
    """Raise Refused under sudo: what runs is the user's, and so are the files."""
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), command)


def find_running(paths: Paths) -> list[Running]:
    """Return every proxy of this user that answers; says on stderr which one does not."""
    found = []
    try:
        places = find_channels(paths.runtime_dir)
    except StateError as error:
        show(str(error), error.hint)
        return []
    for place in places:
        try:
            found.append(Running(place, _ask(place, "GET", ABOUT, None, About)))
        except NotRunning:
            continue
        except DevtlsError as error:
            show(str(error), error.hint)
    return found


def choose(running: Sequence[Running], pid: int | None, file: Path | None, command: str) -> Running:
    """Return the one that is meant: by its number, the only one, or the one that reads `file`. Raises DevtlsError."""
    if pid is not None:
        running = [one for one in running if one.about.pid == pid]
        if not running:
            raise NotRunning(f"No devtls serve of yours has the process id {pid}.", hint="devtls status")
    if not running:
        raise nothing_runs()
    if len(running) == 1:
        return running[0]
    here = [one for one in running if file is not None and one.reads(file)]
    if len(here) == 1:
        return here[0]
    which = ", ".join(f"{one.about.pid} (port {one.about.https_port})" for one in running)
    raise Refused(f"{len(running)} of them run: {which}.", hint=f"devtls {command} --pid {running[0].about.pid}")


def raise_trouble(trouble: ErrorInfo | None, prefix: str = "") -> None:
    """Raise what a proxy said went wrong, with its exit code."""
    if trouble is None:
        return
    error = DevtlsError(prefix + trouble.message, hint=trouble.hint)
    if trouble.exit_code in {code.value for code in ExitCode}:
        error.exit_code = ExitCode(trouble.exit_code)
    raise error


def _ask(place: Place, method: str, path: str, body: bytes | None, kind: type[_Answer]) -> _Answer:
    try:
        status, content = send(place, method, path, body)
    except (ConnectionError, FileNotFoundError) as error:  # killed, or gone before it answered
        raise nothing_runs() from error
    except (OSError, http.client.HTTPException) as error:
        why = "in time" if isinstance(error, TimeoutError) else f"as it should: {error}"
        raise DevtlsError(
            f"devtls serve (process {place.pid}) does not answer {why}.",
            hint=f"{end_by_force(place.pid)}, then devtls serve",
        ) from error
    if status == http.HTTPStatus.OK:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise _other_version(place, str(error)) from error
    raise _other_version(place, _refusal(content))


def _refusal(content: bytes) -> str:
    try:
        trouble = msgspec.json.decode(content, type=Done).trouble
    except msgspec.MsgspecError:
        trouble = None
    return "without a reason" if trouble is None else trouble.message.rstrip(".")


def _other_version(place: Place, why: str) -> DevtlsError:
    return DevtlsError(
        f"devtls serve (process {place.pid}) does not understand this command ({why}); it may be another version.",
        hint=f"{end_by_force(place.pid)}, then devtls serve",
    )


def as_json(value: Any) -> str:
    """Return messages, and what holds them, as JSON text."""
    return json.dumps(msgspec.to_builtins(value), indent=2)
