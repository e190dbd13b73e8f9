"""A client over HTTP/2 that asks for much and takes nothing: it holds its streams open and does not read.

Owns one TLS connection, driven with the `h2` library. Refuses to call a proxy patient that has not answered: when the
holding is over it reads, and there must be answers.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event, RemoteSettingsChanged, ResponseReceived, StreamReset
from h2.settings import SettingCodes

from tests.bench.contenders import NAME
from tests.bench.load import LoadFailed, context_for

STREAMS = 100
WIDE_OPEN = 2**31 - 1
SHUT = 0
_DEFAULT_WINDOW = 65_535
_TIMEOUT_S = 5.0


@contextmanager
def stalled_client(port: int, root: Path, path: str, window_bytes: int, streams: int = STREAMS) -> Iterator[None]:
    """Ask for `path` on many streams whose windows are all `window_bytes`, and do not read while the block runs.

    After it the answers must come; for SHUT, once the windows are opened by an octet.
    Raises LoadFailed when the proxy does not speak HTTP/2, or has answered nothing or anything but 200.
    """
    context = context_for(root)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as tls,
    ):
        if tls.selected_alpn_protocol() != "h2":
            raise LoadFailed("the proxy does not negotiate h2")
        connection = _open(tls, window_bytes)
        _ask(tls, connection, f"{NAME}:{port}", path, streams)
        yield
        if window_bytes == SHUT:
            # nginx keeps even the heads back until one octet of the body may follow.
            connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1})
            tls.sendall(connection.data_to_send())
        # With open windows the bodies crowd the connection: after the first heads come many pieces.
        _expect_answers(tls, connection, streams if window_bytes == SHUT else 1)


def _open(tls: ssl.SSLSocket, window_bytes: int) -> H2Connection:
    """Exchange the settings; on return the proxy's are known and acknowledged."""
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
    if window_bytes > _DEFAULT_WINDOW:
        connection.increment_flow_control_window(window_bytes - _DEFAULT_WINDOW)
    tls.sendall(connection.data_to_send())
    while not any(isinstance(event, RemoteSettingsChanged) for event in _read(tls, connection)):
        continue
    tls.sendall(connection.data_to_send())
    return connection


def _ask(tls: ssl.SSLSocket, connection: H2Connection, authority: str, path: str, streams: int) -> None:
    head = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", path)]
    for _ in range(streams):
        connection.send_headers(connection.get_next_available_stream_id(), head, end_stream=True)
    tls.sendall(connection.data_to_send())


def _expect_answers(tls: ssl.SSLSocket, connection: H2Connection, answers: int) -> None:
    answered: set[int] = set()
    while len(answered) < answers:
        for event in _read(tls, connection):
            match event:
                case ResponseReceived(stream_id=stream_id, headers=headers):
                    if (b":status", b"200") not in headers:
                        raise LoadFailed(f"a stalled stream was answered with {headers[0]!r}")
                    answered.add(stream_id)
                case StreamReset(error_code=code) | ConnectionTerminated(error_code=code):
                    raise LoadFailed(f"{len(answered)} of {answers} answers came, then error {code}")


def _read(tls: ssl.SSLSocket, connection: H2Connection) -> list[Event]:
    try:
        data = tls.recv(65536)
    except TimeoutError as error:
        raise LoadFailed(f"the proxy sent nothing for {_TIMEOUT_S:g} s") from error
    if not data:
        raise LoadFailed("the proxy closed the connection")
    return connection.receive_data(data)
