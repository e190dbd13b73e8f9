"""The ACME server behind its private socket: requests answered one at a time, proofs looked for beside them.

Owns the order: a request is answered before the proof of its challenge is looked for, and one request at a time works
on the ledger. Imported in a thread at the first request, and josepy with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from devtls.acme.challenges import ALPN, WELL_KNOWN, check_alpn_certificate, check_http_response
from devtls.acme.messages import AcmeRequest, AcmeResponse, Validate
from devtls.acme.problems import Problem
from devtls.config.acme import port_for
from devtls.daemon.console.log import Log
from devtls.daemon.sites.acme_context import AcmeContext
from devtls.net.acme_challenge import Challenges, fetch, perform_handshake
from devtls.routing import Snapshot, Upstream
from devtls.system.storage.keystore import Keystore
from devtls.web.acme_endpoint import make_acme_app

_MOST_AT_ONCE = 16
"""Proofs that are looked for at the same time: each is a connection, and may take ten seconds."""


def make_app(
    keystore: Keystore,
    snapshot: Callable[[], Snapshot],
    log: Log,
    challenges: Challenges,
    place: Callable[[str], Upstream | None],
) -> web.Application:
    """Return the app; `place` gives where the proof of a name is to be found over HTTP, None for nowhere."""
    server = AcmeRequests(AcmeContext(keystore, snapshot, log.report), snapshot, log, challenges, place)
    app = make_acme_app(server.answer)
    app.on_cleanup.append(server.close)
    return app


class AcmeRequests:
    """The requests of ACME clients, and the validations that they lead to."""

    def __init__(
        self,
        context: AcmeContext,
        snapshot: Callable[[], Snapshot],
        log: Log,
        challenges: Challenges,
        place: Callable[[str], Upstream | None],
    ) -> None:
        self._context = context
        self._snapshot = snapshot
        self._log = log
        self._challenges = challenges
        self._place = place
        # The ledger is a file: two requests would overwrite each other's orders.
        self._answering = asyncio.Lock()
        self._validating: set[asyncio.Task[None]] = set()
        self._looking = asyncio.Semaphore(_MOST_AT_ONCE)

    async def close(self, _: web.Application) -> None:
        """Give up the validations that still run."""
        for task in list(self._validating):
            task.cancel()
        await asyncio.gather(*self._validating, return_exceptions=True)

    async def answer(self, request: AcmeRequest) -> AcmeResponse:
        """Return the answer to a request of a client."""
        async with self._answering:
            answer, work = await asyncio.to_thread(self._context.answer, request)
            self._challenges.pending = self._context.pending
        if work is not None:
            # After the answer: the client has to see the challenge `processing` first (RFC 8555 7.5.1).
            task = asyncio.get_running_loop().create_task(self._validate(work))
            self._validating.add(task)
            task.add_done_callback(self._validated)
        return answer

    async def _validate(self, work: Validate) -> None:
        async with self._looking:
            problem = await self._proof(work)
        async with self._answering:
            # The proof is looked for without the lock: a slow app delays no other client.
            await asyncio.to_thread(self._context.validated, work, problem)
            self._challenges.pending = self._context.pending
        outcome = "valid" if problem is None else problem.detail
        self._log.event("acme_challenge", host=work.name, kind=work.kind, outcome=outcome)

    def _validated(self, task: asyncio.Task[None]) -> None:
        self._validating.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._log.fault(0, error)

    async def _proof(self, work: Validate) -> Problem | None:
        if work.kind == "tls-alpn-01":
            # Looked up again: a reload may have changed it since the order.
            port = port_for(self._snapshot().config.acme.tls_port, work.name)
            if port is None:
                return Problem("connection", f"[acme] tls_port says no more where {work.name} is.")
            # RFC 8737 3: the proof is the certificate shown for the ALPN protocol acme-tls/1.
            shown = await perform_handshake(port, work.name, ALPN)
            if isinstance(shown, str):
                return Problem("connection", shown)
            return check_alpn_certificate(work, shown.alpn, shown.certificate)
        place = self._place(work.name)
        if place is None:
            return Problem("connection", f"{work.name} leads nowhere: it needs a route, or a port in [acme] http_port.")
        found = await fetch(place, work.name, (WELL_KNOWN + work.token).encode("ascii"), self._challenges.contexts)
        return (
            Problem("connection", found)
            if isinstance(found, str)
            else check_http_response(work, found.status, found.body)
        )
