"""A temporary TLS server on loopback with one certificate: one that must be trusted, or one that must be refused.

Owns its socket and its threads for the length of a `with`. Refuses any address but 127.0.0.1. It is
no part of the proxy and shares none of its code: a proof that used the thing to be proved would prove less.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devtls.pki.leaf import Leaf
from devtls.system.machine.pem import pem_path

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nproof\n"
_PATIENCE_S = 5.0
_LARGEST_REQUEST = 8192


def server_context(leaf: Leaf, private_directory: Path) -> ssl.SSLContext:
    """Return a context that serves `leaf`; on Linux its key is in no directory even while OpenSSL reads it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL's load_cert_chain takes files only (Python's ssl).
    with pem_path(private_directory, leaf.pem) as (path, password):
        context.load_cert_chain(path, password=password)
    return context


@dataclass(frozen=True, slots=True)
class Listening:
    """`port` of 127.0.0.1, and whether any client finished a handshake there: the server's own evidence of one."""

    port: int
    handshake: threading.Event


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[Listening]:
    """Serve the certificate of `context`, whatever name a client asks for, until the block ends."""
    # Port 0: any free one, so that proofs run at the same time.
    with socket.create_server(("127.0.0.1", 0)) as server:
        here, over = Listening(server.getsockname()[1], threading.Event()), threading.Event()
        accepting = threading.Thread(
            target=_accept, args=(server, context, here.handshake, over), name="devtls-proof", daemon=True
        )
        accepting.start()
        try:
            yield here
        finally:
            # A blocked accept does not notice close(): one more connection wakes it, and the event says why.
            over.set()
            socket.create_connection(("127.0.0.1", here.port), _PATIENCE_S).close()
            accepting.join(_PATIENCE_S)


def _accept(server: socket.socket, context: ssl.SSLContext, handshake: threading.Event, over: threading.Event) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # no descriptor is left: the client says that nobody answers
            return
        if over.is_set():
            connection.close()
            return
        threading.Thread(target=_answer, args=(connection, context, handshake), daemon=True).start()


def _answer(connection: socket.socket, context: ssl.SSLContext, handshake: threading.Event) -> None:
    with connection:
        connection.settimeout(_PATIENCE_S)
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                handshake.set()
                if secured.recv(_LARGEST_REQUEST):
                    secured.sendall(_ANSWER)
        except OSError:  # also ssl.SSLError: a client that refuses us ends this way, and it reports the reason itself
            return
