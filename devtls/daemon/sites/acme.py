"""The ACME server of a running proxy: an ordinary route to a private socket, and the looking for proofs.

Owns the route `acme` while the server is switched on, when josepy is loaded (at the first request), and where the proof
of a name is looked for: the port that [acme] names, else where the name's route leads, else port 80 of this machine.
Refuses to start without josepy, and a route of the user's with the same name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from msgspec.structs import replace

from devtls.config import ACME_ROUTE, Config, RouteConfig, UnixTarget
from devtls.config.acme import port_for
from devtls.config.lines import dotted
from devtls.daemon.console.log import Log
from devtls.daemon.ports import HTTP_PORT
from devtls.daemon.sites.private_sockets import PrivateSockets
from devtls.errors import ConfigError
from devtls.net.acme_challenge import Challenges, Contexts, fetch, local_port, shake_hands
from devtls.routing import Snapshot, Upstream
from devtls.system.storage.keystore import Keystore
from devtls.web.lazy_site import LazySite

if TYPE_CHECKING:
    from aiohttp import web

    from devtls.acme.messages import AcmeRequest, AcmeResponse, Validate
    from devtls.acme.problems import Problem
    from devtls.daemon.sites.acme_desk import AcmeDesk

_LABEL = "ACME server"
_NEEDS = ("devtls.daemon.sites.acme_desk", "devtls.web.acme_endpoint")


class AcmeSite:
    """The server of one configuration after the other; `routed` may block, the rest runs on the loop.

    `snapshot` gives the routes and rules of the moment.
    """

    def __init__(
        self,
        keystore: Keystore,
        private: PrivateSockets,
        snapshot: Callable[[], Snapshot],
        contexts: Contexts,
        log: Log,
    ) -> None:
        self._keystore = keystore
        self._private = private
        self._snapshot = snapshot
        self._log = log
        self._listening: tuple[str, socket.socket] | None = None
        self._site: LazySite | None = None
        self._answering = asyncio.Lock()
        self._looking: set[asyncio.Task[None]] = set()
        self._desk: AcmeDesk | None = None
        self._http_is_ours = False
        self.challenges = Challenges(contexts, self._place)

    def routed(self, config: Config) -> Config:
        """Return `config` with the route to the server. Raises ConfigError."""
        for route in config.routes:
            if route.name == ACME_ROUTE:
                key = dotted(("routes", route.key)) if route.line else route.key
                raise ConfigError(
                    f"the name {ACME_ROUTE} is the ACME server's.",
                    source=route.source,
                    key=key,
                    line=route.line,
                    hint="Give the route another name, or switch the server off: enabled = false in [acme].",
                )
        if find_spec("josepy") is None:
            raise ConfigError(
                "the ACME server needs josepy.",
                source=config.source,
                key="acme.enabled",
                line=config.acme.line,
                hint="pip install 'devtls[acme]', where devtls is installed",
            )
        if self._listening is None:
            self._listening = self._private.listen("there is no ACME server", "Write enabled = false in [acme].")
        target = UnixTarget(self._listening[0], _LABEL)
        ours = RouteConfig(ACME_ROUTE, "/", target, key=ACME_ROUTE, source=ACME_ROUTE)
        return replace(config, routes=(*config.routes, ours))

    def start(self, *, http_is_ours: bool) -> None:
        """Answer, from the first request on; `http_is_ours`: port 80 of this machine leads back to us."""
        self._http_is_ours = http_is_ours
        if self._listening is not None and self._site is None:
            self._site = LazySite(self._listening[1], partial(_make_app, self), needs=_NEEDS)
            self._site.start()

    def abandon(self) -> None:
        """Close what nobody serves: the start failed."""
        if self._listening is not None and self._site is None:
            self._listening[1].close()

    async def close(self) -> None:
        """Stop."""
        for task in list(self._looking):
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)
        if self._site is not None:
            await self._site.close()
        else:
            self.abandon()

    async def answer(self, request: AcmeRequest) -> AcmeResponse:
        """Return the answer to a request of a client."""
        desk = self._open_desk()
        async with self._answering:
            answer, work = await asyncio.to_thread(desk.answer, request)
            self.challenges.pending = desk.pending
        if work is not None:
            task = asyncio.get_running_loop().create_task(self._validate(desk, work))
            self._looking.add(task)
            task.add_done_callback(self._looked)
        return answer

    def _open_desk(self) -> AcmeDesk:
        if self._desk is None:
            from devtls.daemon.sites.acme_desk import AcmeDesk

            self._desk = AcmeDesk(self._keystore, self._snapshot, self._log.report)
        return self._desk

    async def _validate(self, desk: AcmeDesk, work: Validate) -> None:
        problem = await self._proof(work)
        async with self._answering:
            await asyncio.to_thread(desk.validated, work, problem)
            self.challenges.pending = desk.pending
        outcome = "valid" if problem is None else problem.detail
        self._log.event("acme_challenge", host=work.name, kind=work.kind, outcome=outcome)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._log.fault(0, error)

    async def _proof(self, work: Validate) -> Problem | None:
        from devtls.acme.challenges import ALPN, WELL_KNOWN, check_alpn_certificate, check_http_response
        from devtls.acme.problems import Problem

        if work.kind == "tls-alpn-01":
            port = port_for(self._snapshot().config.acme.tls_port, work.name)
            if port is None:
                return Problem("connection", f"[acme] tls_port says no more where {work.name} is.")
            shown = await shake_hands(port, work.name, ALPN)
            if isinstance(shown, str):
                return Problem("connection", shown)
            return check_alpn_certificate(work, shown.alpn, shown.certificate)
        place = self._place(work.name)
        if place is None:
            return Problem("connection", f"{work.name} leads nowhere: it needs a route, or a port in [acme] http_port.")
        found = await fetch(place, work.name, (WELL_KNOWN + work.token).encode("ascii"), self.challenges.contexts)
        return (
            Problem("connection", found)
            if isinstance(found, str)
            else check_http_response(work, found.status, found.body)
        )

    def _place(self, name: str) -> Upstream | None:
        snapshot = self._snapshot()
        port = port_for(snapshot.config.acme.http_port, name)
        if port is not None:
            return local_port(port)
        route = snapshot.routes.match(name, b"/.well-known/acme-challenge/")
        if route is not None:
            return route.upstream
        return None if self._http_is_ours else local_port(HTTP_PORT)


def _make_app(site: AcmeSite) -> web.Application:
    from devtls.web.acme_endpoint import make_acme_app

    return make_acme_app(site.answer)
