"""ACME over HTTP: requests of aiohttp to the server and its responses back (RFC 8555 6).

Owns the limit on bodies. Decides nothing: what a path means and who may do what is the server's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec.json
from aiohttp import web
from multidict import CIMultiDict

from devtls.acme.messages import AcmeRequest, AcmeResponse
from devtls.acme.problems import CONTENT_TYPE, Problem, document
from devtls.acme.server import MAX_BODY_BYTES
from devtls.web.server_name import name_server


def make_acme_app(answer: Callable[[AcmeRequest], Awaitable[AcmeResponse]]) -> web.Application:
    """Return the app; `answer` gives the answer to a request."""

    async def handle(request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            problem = document(Problem("malformed", f"A request has at most {MAX_BODY_BYTES} bytes."))
            return web.Response(status=413, body=msgspec.json.encode(problem), content_type=CONTENT_TYPE)
        content_type = request.headers.get("Content-Type", "")
        # The raw path: a signature covers the URL as the client wrote it (RFC 8555 6.4).
        found = await answer(AcmeRequest(request.method, request.raw_path, request.host, content_type, body))
        # A multidict: Link may stand twice (RFC 8555 7.1).
        headers = CIMultiDict([*found.headers, ("X-Content-Type-Options", "nosniff")])
        if found.body:
            headers["Content-Type"] = found.content_type
        return web.Response(status=found.status, body=found.body, headers=headers)

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(name_server)
    app.router.add_route("*", "/{path:.*}", handle)
    return app
