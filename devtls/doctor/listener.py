"""A throw-away TLS server on loopback with two certificates: one that must be trusted and one that must be refused.

Owns its socket, its threads and its two contexts for the length of a `with`. Refuses any address but 127.0.0.1. It is
no part of the proxy and shares none of its code: a proof that used the thing to be proved would prove less.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtls.pki.leaf import Leaf
from devtls.system.pem import pem_path

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nproof\n"
_PATIENCE_S = 5.0
_LARGEST_REQUEST = 8192


def server_context(leaf: Leaf, private_folder: Path) -> ssl.SSLContext:
    """Return a context that serves `leaf`; on Linux its key is in no folder even while OpenSSL reads it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pem_path(private_folder, leaf.pem) as (path, password):
        context.load_cert_chain(path, password=password)
    return context


@contextmanager
def listening(trusted: ssl.SSLContext, foreign: ssl.SSLContext, foreign_name: str) -> Iterator[int]:
    """Serve until the block ends; yield the port. A client that names `foreign_name` gets the foreign certificate."""

    def choose(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name == foreign_name:
            connection.context = foreign

    trusted.sni_callback = choose
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        accepting = threading.Thread(target=_accept, args=(server, trusted), name="devtls-proof", daemon=True)
        accepting.start()
        try:
            yield port
        finally:
            # A blocked accept does not notice close(): shutdown() wakes it on Linux, a connection everywhere.
            stop = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
            server.close()
            stop.close()
            accepting.join(_PATIENCE_S)


def _accept(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # closed: the proof is over
            return
        threading.Thread(target=_answer, args=(connection, context), daemon=True).start()


def _answer(connection: socket.socket, context: ssl.SSLContext) -> None:
    with connection:
        connection.settimeout(_PATIENCE_S)
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                if secured.recv(_LARGEST_REQUEST):
                    secured.sendall(_ANSWER)
        except OSError:  # also ssl.SSLError: a client that refuses us ends this way, and it reports the reason itself
            return
