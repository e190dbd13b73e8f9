"""A little HTTP/2 server of the `h2` library over TLS: it notes who asked for what, and answers as it is told."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from tests.bench.certificates import write_chain
from tests.bench.contenders import NAME

_TIMEOUT_S = 10.0
_BODY = b"yes"


class H2ClientCodec:
    """Answers each request with `status` and a few octets, as far as the window allows; notes names and authorities."""

    def __init__(self, folder: Path, status: str, protocols: list[str]) -> None:
        self.names: list[str | None] = []
        self.heads: list[dict[bytes, bytes]] = []
        self._status = status
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "leaf.pem", folder / "leaf.key")
        self._context.set_alpn_protocols(protocols)
        self._context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.root = folder / "root.pem"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    @contextmanager
    def running(self) -> Iterator[H2ClientCodec]:
        self._thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)  # Wakes accept(), which close() alone does not.
            self._listener.close()
            self._thread.join(_TIMEOUT_S)
            assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return  # The listener was closed: the test is over.
            plain.settimeout(_TIMEOUT_S)
            with self._context.wrap_socket(plain, server_side=True) as tls:
                try:
                    if tls.selected_alpn_protocol() == "h2":
                        self._converse(tls)
                except (ConnectionError, ssl.SSLEOFError):
                    continue  # The client has left without a word, as these may.

    def _converse(self, tls: ssl.SSLSocket) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        waiting: set[int] = set()
        while True:
            for stream_id in [each for each in waiting if connection.local_flow_control_window(each) >= len(_BODY)]:
                connection.send_data(stream_id, _BODY, end_stream=True)
                waiting.remove(stream_id)
            tls.sendall(connection.data_to_send())
            data = tls.recv(65536)
            if not data:
                return
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    self.heads.append(dict(event.headers))
                    connection.send_headers(event.stream_id, [(b":status", self._status.encode())])
                    waiting.add(event.stream_id)


@pytest.fixture
def h2_server(tmp_path: Path) -> Iterator[Callable[..., H2ClientCodec]]:
    """Start a server: (status, protocols that it negotiates)."""
    write_chain(tmp_path, NAME)
    with ExitStack() as stack:

        def start(status: str = "200", protocols: tuple[str, ...] = ("h2", "http/1.1")) -> H2ClientCodec:
            return stack.enter_context(H2ClientCodec(tmp_path, status, list(protocols)).running())

        yield start
