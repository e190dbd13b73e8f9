"""The control channel of a system without Unix sockets (Windows): a port on 127.0.0.1, and a secret in a file.

Owns `control-<pid>-<random>.json` in the runtime directory, which is its user's alone: the port, and a token of 256
bits that both sides prove to know (`web.control_proof`) and that never travels. A file whose port nobody listens on has
lost its process: it is in nobody's way, and the next start removes it. Whoever else listens there by then proves
nothing.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from devtls.errors import StateError
from devtls.system.machine.private_files import create_private_file, ensure_private_directory, read_private_file

_NAME = r"control-([0-9]+)-[0-9a-f]{8}\.json\Z"
_FORMAT = 1
_BACKLOG = 16
_TOKEN_BYTES = 32
_CONNECT_S = 3.0
"""Windows tries a port that refuses three times, half a second apart, before it says so."""


class ControlPort(msgspec.Struct, frozen=True):
    """The control port of a running process, as its file names it."""

    path: Path
    pid: int
    port: int
    token: bytes

    def connect(self, timeout_s: float) -> socket.socket:
        """Return a connection. Raises OSError when nobody listens."""
        return socket.create_connection(("127.0.0.1", self.port), max(timeout_s, _CONNECT_S))

    def answers(self) -> bool:
        """Say whether somebody listens, ours or not; blocks."""
        try:
            self.connect(_CONNECT_S).close()
        except ConnectionRefusedError:
            return False
        except OSError:  # a full backlog or a timeout: in doubt it lives, and its file is not removed
            return True
        return True


class _File(msgspec.Struct, frozen=True):
    format: int
    port: int
    token: str


def open_control_port(runtime_dir: Path) -> tuple[ControlPort, socket.socket]:
    """Return a new control port of this process, and the socket, which listens. Raises StateError; blocks."""
    token = os.urandom(_TOKEN_BYTES)
    try:
        runtime_dir.parent.mkdir(parents=True, exist_ok=True)
        ensure_private_directory(runtime_dir)
        listening = _listen()
        try:
            port = int(listening.getsockname()[1])
            # After listen(): whoever finds the file can connect.
            path = runtime_dir / f"control-{os.getpid()}-{os.urandom(4).hex()}.json"
            create_private_file(path, msgspec.json.encode(_File(_FORMAT, port, token.hex())))
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise StateError(
            f"no control port can be opened in {runtime_dir}: {error.strerror or error}.",
            path=str(runtime_dir),
            hint="name another folder in DEVTLS_RUNTIME_DIR",
        ) from error
    return ControlPort(path, os.getpid(), port, token), listening


def _listen() -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # else another process may bind the same port beside us
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listening.setblocking(False)
        listening.bind(("127.0.0.1", 0))
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def find_control_ports(runtime_dir: Path) -> list[ControlPort]:
    """Return what is there, dead or alive, in the order of the process ids; blocks. Raises StateError."""
    try:
        names = [(path, match) for path in runtime_dir.iterdir() if (match := re.match(_NAME, path.name))]
    except OSError:  # not there yet, or not ours
        return []
    found = (_read(path, int(match[1])) for path, match in names)
    return sorted((one for one in found if one is not None), key=lambda one: (one.pid, one.path))


def _read(path: Path, pid: int) -> ControlPort | None:
    try:
        content = msgspec.json.decode(read_private_file(path), type=_File)
        return ControlPort(path, pid, content.port, bytes.fromhex(content.token))
    except (FileNotFoundError, msgspec.DecodeError, ValueError):  # gone meanwhile, or half written by one that starts
        return None


def remove_dead_ports(runtime_dir: Path) -> None:
    """Remove the files of processes that were killed; blocks."""
    with suppress(StateError):
        for place in find_control_ports(runtime_dir):
            if not place.answers():
                with suppress(OSError):  # it is in nobody's way; the next start tries again
                    place.path.unlink()
