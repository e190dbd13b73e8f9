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
    DIGEST_FIELD,
    NONCE_FIELD,
    PROOF_FIELD,
    PROOF_PATH,
    Nonces,
    digest_of,
    proof_of_head,
    proof_of_server,
)

_NONCE_DIGITS = 32
_NO_BODY = digest_of(b"")
_UNPROVEN = "The request proves nothing."


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
        given, digest = request.headers.get(NONCE_FIELD, ""), request.headers.get(DIGEST_FIELD, _NO_BODY)
        wanted = proof_of_head(token, port, given, (request.method, request.raw_path, digest))
        proven = hmac.compare_digest(wanted.encode(), request.headers.get(PROOF_FIELD, "").encode("utf-8", "replace"))
        # The proof first: only who knows the token spends a nonce, and has its body read.
        if not proven or not nonces.take(given):
            return _no(_UNPROVEN)
        return None if digest_of(await request.read()) == digest else _no(_UNPROVEN)

    def _prove(asked: str) -> web.Response:
        # A fixed form: no line end gets into the fields that the proof joins.
        if len(asked) != _NONCE_DIGITS or not asked.isalnum():
            return _no(f"{NONCE_FIELD} is not {_NONCE_DIGITS} hexadecimal digits.")
        given = nonces.give()
        return web.Response(headers={NONCE_FIELD: given, PROOF_FIELD: proof_of_server(token, port, asked, given)})

    return check


def _no(message: str) -> web.Response:
    response = refusal(403, message)
    response.force_close()  # a body that nobody reads may still come
    return response
