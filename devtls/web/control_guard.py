"""The guard of the control API: only processes of the same user, by the kernel's word or by a proof of the token.

Owns both judgements. A port can be reached by web pages, too, so its Host must be its own address and no browser may
have sent the request (Origin, Sec-Fetch-Site).
"""

from __future__ import annotations

import hmac
import os
import socket
import sys
import time
from collections.abc import Callable

from aiohttp import web

from devtls.web.control_endpoint import Guard, refusal
from devtls.web.control_proof import (
    NONCE_FIELD,
    PROOF_FIELD,
    PROOF_PATH,
    ControlRequest,
    Nonces,
    proof_of_client,
    proof_of_server,
)

_NONCE_DIGITS = 32


def socket_guard(peer_uid: Callable[[socket.socket], int]) -> Guard:
    """Return the guard of a Unix socket; `peer_uid` gives the user at the other end, and may raise OSError."""

    async def check(request: web.Request) -> web.Response | None:
        connection = None if request.transport is None else request.transport.get_extra_info("socket")
        if connection is not None and sys.platform != "win32":  # else it is gone already
            try:
                if peer_uid(connection) == os.geteuid():
                    return None
            except OSError:
                pass  # the kernel does not tell, so it is nobody of ours
        return _no("This control socket belongs to another user.")

    return check


def port_guard(port: int, token: bytes, monotonic: Callable[[], float] = time.monotonic) -> Guard:
    """Return the guard of a control port: it proves the token itself when asked, and wants a proof for all else."""
    nonces = Nonces(monotonic)

    async def check(request: web.Request) -> web.Response | None:
        # "none" is a person's own navigation (Fetch Metadata); programs send neither field.
        browser = "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"
        # Exactly one Host, and ours: a name that is rebound to 127.0.0.1 is another one.
        if browser or request.headers.getall("Host", []) != [f"127.0.0.1:{port}"]:
            return _no("This port is for the commands of devtls alone.")
        if request.path == PROOF_PATH:
            return _prove(request.headers.get(NONCE_FIELD, ""))
        given = request.headers.get(NONCE_FIELD, "")
        asked = ControlRequest(request.method, request.raw_path, await request.read())
        wanted = proof_of_client(token, port, given, asked)
        proven = hmac.compare_digest(wanted, request.headers.get(PROOF_FIELD, "").encode("ascii", "replace").decode())
        # take comes first: the nonce is spent even by a wrong proof, so none can be guessed at twice.
        return None if nonces.take(given) and proven else _no("The request proves nothing.")

    def _prove(asked: str) -> web.Response:
        # A fixed form: no line end gets into the fields that the proof joins.
        if len(asked) != _NONCE_DIGITS or not asked.isalnum():
            return _no(f"{NONCE_FIELD} is not {_NONCE_DIGITS} hexadecimal digits.")
        given = nonces.give()
        return web.Response(headers={NONCE_FIELD: given, PROOF_FIELD: proof_of_server(token, port, asked, given)})

    return check


def _no(message: str) -> web.Response:
    return refusal(403, message)
