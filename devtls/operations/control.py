"""The running proxies of this user: found, chosen, and asked over their control channels.

Owns the client's side of the control API, and of both channels: a Unix socket whose peer the kernel names, and a port
whose server proves to know the token before anything is asked of it. Refuses sockets of other users. A proxy that was
killed is passed over in silence; the Reporter hears of one that does not answer.
"""

from __future__ import annotations

import hmac
import http.client
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from devtls.errors import DevtlsError, ExitCode, NotRunning, Refused, StateError
from devtls.operations.reporter import Reporter
from devtls.system.control.channel import ControlChannel, end_by_force, find_channels
from devtls.system.control.port import ControlPort
from devtls.system.machine.paths import Paths
from devtls.web.control_messages import ABOUT, STATUS, About, Done, ErrorInfo, ServeStatus, StatusAnswer
from devtls.web.control_proof import (
    DIGEST_FIELD,
    NONCE_FIELD,
    PROOF_FIELD,
    PROOF_PATH,
    ControlRequest,
    digest_of,
    new_nonce,
    proof_of_client,
    proof_of_server,
)

_TIMEOUT_S = 10.0
"""A status takes a second at most; a machine that has just woken up, a little more."""

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class RunningProxy(msgspec.Struct, frozen=True):
    """A `devtls serve` that answers on its control channel."""

    channel: ControlChannel
    about: About

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        return f"devtls {'demo' if self.about.demo else 'serve'} (process {self.about.pid})"

    def reads(self, file: Path) -> bool:
        """Say whether its routes, or those of a process that joined it, come from `file`."""
        # realpath: the same file may be reached through a link, such as /tmp on macOS.
        files = (self.about.config_file, *(each.config_file for each in self.about.joined))
        return any(each is not None and os.path.realpath(each) == os.path.realpath(file) for each in files)

    def get(self, path: str, kind: type[_Answer]) -> _Answer:
        """Return the answer to a GET request. Raises DevtlsError."""
        return _call(self.channel, "GET", path, None, kind)

    def ask(self, path: str, request: msgspec.Struct, kind: type[_Answer]) -> _Answer:
        """Return the answer to a POST request. Raises DevtlsError."""
        return _call(self.channel, "POST", path, msgspec.json.encode(request), kind)

    def send(self, path: str, request: msgspec.Struct) -> Done:
        """Return the result of a command; its failure is in the result. Raises DevtlsError when none came."""
        return self.ask(path, request, Done)


def nothing_runs() -> NotRunning:
    """Return the error for a user who has no running proxy."""
    return NotRunning("No devtls serve of yours runs.", hint="devtls serve app=3000")


def find_running(paths: Paths, reporter: Reporter) -> list[RunningProxy]:
    """Return every proxy of this user that answers, demos too; `reporter` hears of those that do not."""
    found = []
    try:
        channels = find_channels(paths.runtime_dir)
    except StateError as error:
        reporter.error(error)
        return []
    for channel in channels:
        try:
            found.append(RunningProxy(channel, _call(channel, "GET", ABOUT, None, About)))
        # A killed proxy leaves its socket behind: nothing that a person must hear.
        except NotRunning:
            continue
        except DevtlsError as error:
            reporter.error(error)
    return found


def without_demos(running: Sequence[RunningProxy]) -> list[RunningProxy]:
    """Return the proxies that take routes: a `devtls demo` has its sample app, and most have a CA of their own."""
    return [one for one in running if not one.about.demo]


def statuses(paths: Paths, reporter: Reporter) -> list[ServeStatus]:
    """Return the status of every running proxy, demos too. Raises DevtlsError."""
    return [one.get(STATUS, StatusAnswer).serve for one in find_running(paths, reporter)]


def choose(running: Sequence[RunningProxy], pid: int | None, file: Path | None, command: str) -> RunningProxy:
    """Return the proxy of that process id, the only one, or the only one that reads `file`. Raises DevtlsError."""
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


def raise_failure(error: ErrorInfo | None, prefix: str = "") -> None:
    """Raise the failure that a proxy answered with, with its exit code."""
    if error is None:
        return
    raised = DevtlsError(prefix + error.message, hint=error.hint)
    if error.exit_code in {code.value for code in ExitCode}:
        raised.exit_code = ExitCode(error.exit_code)
    raise raised


def _call(channel: ControlChannel, method: str, path: str, body: bytes | None, kind: type[_Answer]) -> _Answer:
    with _translated_errors(channel):
        status, content = exchange(channel, method, path, body)
    if status == http.HTTPStatus.OK:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise _other_version(channel, str(error)) from error
    # The paths carry the format (`/v1/`): a refusal most often means that the two sides differ in version.
    raise _other_version(channel, _refusal(content))


@contextmanager
def _translated_errors(channel: ControlChannel) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, FileNotFoundError) as error:  # killed, or gone before it answered
        raise nothing_runs() from error
    except (OSError, http.client.HTTPException) as error:
        why = "in time" if isinstance(error, TimeoutError) else f"as it should: {error}"
        raise DevtlsError(
            f"devtls serve (process {channel.pid}) does not answer {why}.",
            hint=f"{end_by_force(channel.pid)}, then devtls serve",
        ) from error


def _refusal(content: bytes) -> str:
    try:
        error = msgspec.json.decode(content, type=Done).error
    except msgspec.MsgspecError:
        error = None
    return "without a reason" if error is None else error.message.rstrip(".")


def _other_version(channel: ControlChannel, why: str) -> DevtlsError:
    return DevtlsError(
        f"devtls serve (process {channel.pid}) does not understand this command ({why}); it may be another version.",
        hint=f"{end_by_force(channel.pid)}, then devtls serve",
    )


class _Connection(http.client.HTTPConnection):
    def __init__(self, channel: ControlChannel) -> None:
        # Over a Unix socket the host is never resolved; HTTP/1.1 wants a Host all the same (RFC 9112 3.2).
        host, port = ("127.0.0.1", channel.port) if isinstance(channel, ControlPort) else ("devtls", None)
        super().__init__(host, port, timeout=_TIMEOUT_S)
        self.channel = channel

    def connect(self) -> None:
        self.sock: socket.socket = self.channel.connect(_TIMEOUT_S)


class ControlStream:
    """A response without an end: a line after the other, until one of the sides closes the connection."""

    def __init__(self, connection: _Connection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response

    def lines(self) -> Iterator[bytes]:
        """Yield each line as it comes; blocks. Ends with the connection, however that ends."""
        with suppress(OSError, ValueError, http.client.HTTPException):
            while line := self._response.readline():
                yield line

    def close(self) -> None:
        """Close the connection; may be called while another thread waits for a line."""
        with suppress(OSError):  # closed already
            # close() alone would not wake the reader up (close(2)).
            self._connection.sock.shutdown(socket.SHUT_RDWR)


def open_stream(channel: ControlChannel, path: str, request: msgspec.Struct) -> ControlStream:
    """Return the response to a POST request while it goes on. Raises DevtlsError when there is none."""
    connection = _Connection(channel)
    try:
        with _translated_errors(channel):
            response = _request(connection, "POST", path, msgspec.json.encode(request), {})
            if response.status != http.HTTPStatus.OK:
                raise _other_version(channel, _refusal(response.read()))
        # The next line may take days.
        connection.sock.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return ControlStream(connection, response)


def exchange(channel: ControlChannel, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    """Return status and content of a response.

    Raises NotRunning when another program has the port, OSError, HTTPException.
    """
    connection = _Connection(channel)
    try:
        response = _request(connection, method, path, body, {"Connection": "close"})
        return response.status, response.read()
    finally:
        connection.close()


def _request(
    connection: _Connection, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    channel = connection.channel
    asked = ControlRequest(method, path, body or b"")
    # Only a port: who listens on a Unix socket is vouched for by the file system and the kernel.
    proof = _authenticate(connection, channel, asked) if isinstance(channel, ControlPort) else {}
    connection.request(method, path, body, {"Content-Type": "application/json", **proof, **headers})
    return connection.getresponse()


def _authenticate(connection: _Connection, channel: ControlPort, asked: ControlRequest) -> Mapping[str, str]:
    """Have the server prove that it knows the token, and return our proof; raises NotRunning when it does not."""
    nonce = new_nonce()
    connection.request("GET", PROOF_PATH, headers={NONCE_FIELD: nonce})
    response = connection.getresponse()
    # http.client sends the next request on this connection only after the body was read.
    response.read()
    given, proof = response.headers.get(NONCE_FIELD, ""), response.headers.get(PROOF_FIELD, "")
    wanted = proof_of_server(channel.token, channel.port, nonce, given)
    # Constant time; encoded, because compare_digest refuses text that is not ASCII.
    if not hmac.compare_digest(wanted.encode(), proof.encode("utf-8", "replace")):
        raise NotRunning("Another program has the port of a devtls serve that ended.", hint="devtls serve app=3000")
    proof = proof_of_client(channel.token, channel.port, given, asked)
    return {NONCE_FIELD: given, DIGEST_FIELD: digest_of(asked.body), PROOF_FIELD: proof}
