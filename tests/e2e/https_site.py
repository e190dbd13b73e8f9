"""A folder of files over TLS in a thread of the test: under any certificate, also one that nobody may accept.

Owns its socket and its thread for the length of a `with`. Refuses no client: whether the certificate will do is the
client's to say, and a client that accepts it gets what it asked for.
"""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from devtls.doctor.listener import server_context
from devtls.pki.authority import issue_foreign_probe
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.keystore import Keystore


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the client tells how it went."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # also ssl.SSLError: a client that refuses the certificate hangs up
            self.close_connection = True


@contextmanager
def in_thread(server: socketserver.TCPServer) -> Iterator[int]:
    """Run a server beside the test and yield its port."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def https_site(context: ssl.SSLContext, folder: Path) -> Iterator[int]:
    """Serve `folder`, whatever name a client asks for, and yield the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with in_thread(server) as port:
        yield port


@contextmanager
def forged_site(state: Path, folder: Path) -> Iterator[int]:
    """Serve `folder` as FOREIGN_NAME: an otherwise perfect certificate of the CA in `state`, outside its zones."""
    now = datetime.now(UTC)
    leaf = issue_foreign_probe(Keystore(state).load(now), now=now, key=new_leaf_key(), serial=new_serial())
    with https_site(server_context(leaf, state), folder) as port:
        yield port
