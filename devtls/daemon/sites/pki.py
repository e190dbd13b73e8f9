"""The PKI endpoint of a running proxy: the CA's own port on 127.0.0.1, where its certificates point to.

Owns the socket, and the hourly look whether a CRL is to be signed anew; what is served there is `pki_app`'s. A port
that is taken is no stop: it is tried again, since a second devtls serve of the same CA, which publishes the same CRLs,
may end first; another program on it is worth a warning, for clients that insist on CRLs.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING

from devtls.daemon.console.log import Log
from devtls.daemon.generation import Generation
from devtls.errors import DevtlsError
from devtls.net.bind import Bound, bind
from devtls.pki.leaf import Signer
from devtls.system.machine.port_holder import port_holder
from devtls.system.storage.keystore import Keystore
from devtls.web.lazy_site import LazySite, SiteTerms

if TYPE_CHECKING:
    from devtls.daemon.sites.pki_app import PkiContent

# A CRL is signed anew at half of its life: an hour more or less is nothing to that.
_LOOK = timedelta(hours=1)
# Seconds: how long after a sleep of the machine the hour is noticed to be over.
_TICK_S = 30.0
_RETRY_S = 10.0
_MODULE = "devtls.daemon.sites.pki_app"
_OURSELVES = "devtls "
"""How `port_holder` names another process of ours."""


class PkiSite:
    """The endpoint of one CA after the other."""

    def __init__(self, keystore: Keystore, authority: Signer, log: Log, terms: SiteTerms) -> None:
        self._keystore = keystore
        self._authority = authority
        self._log = log
        self._terms = terms
        self._site: LazySite | None = None
        self._content: PkiContent | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the port is ours."""
        return self._site is not None

    async def start(self) -> None:
        """Listen, and keep the CRL fresh."""
        self._open()
        self._renewal = asyncio.get_running_loop().create_task(self._renew())

    async def replace(self, generation: Generation) -> None:
        """Speak for the CA of a reload, on its port."""
        authority = generation.authority
        if authority is self._authority:
            return
        moved = authority.pki_port != self._authority.pki_port or self._site is None
        self._authority = authority
        if moved:
            if self._site is not None:
                # Not awaited: a reload must not wait for a client that downloads slowly.
                closing = asyncio.get_running_loop().create_task(self._site.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            self._open()

    async def close(self) -> None:
        """Stop."""
        running = [task for task in (self._renewal, self._asking) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._site is not None:
            await self._site.close()
        if self._closing:
            await asyncio.wait(self._closing)

    def _open(self) -> None:
        port = self._authority.pki_port
        try:
            # This address and no other: certificates name it, and they cannot be changed.
            bound: Bound = bind(port, ("127.0.0.1",))
        except DevtlsError:
            self._site = None
            if self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._warn_of_holder(port))
            return
        self._site = LazySite(bound.sockets[0], self._terms, f"{_MODULE}:make_app", self.content)
        self._site.start()

    def content(self) -> PkiContent:
        """Return what is served; imports what makes it, unless that was done in a thread."""
        if self._content is None:
            content: PkiContent = import_module(_MODULE).PkiContent(self._keystore, lambda: self._authority, self._log)
            self._content = content
        return self._content

    async def _warn_of_holder(self, port: int) -> None:
        holder = await asyncio.to_thread(port_holder, port)
        # Another serve of ours publishes the same CRLs there, so nobody misses anything.
        if not holder.startswith(_OURSELVES):
            self._log.warn(
                f"port {port} on 127.0.0.1 belongs to {holder or 'another program'}, and this CA's revocation lists "
                "belong there: clients that insist on them (curl on Windows, .NET) may refuse.",
                event="pki_port_taken",
                port=port,
            )

    async def _renew(self) -> None:
        if self._authority.generation != f"ca-{self._authority.id}":  # imported: its root's CRL is made elsewhere
            await self._sign()
        while True:
            if self._site is None:
                await asyncio.sleep(_RETRY_S)
                self._open()
            else:
                await self._until_look()
                await self._sign()

    async def _sign(self) -> None:
        await asyncio.to_thread(import_module, _MODULE)
        await self.content().current_crls()

    async def _until_look(self) -> None:
        """Wait for an hour by the wall clock: the loop's own stands still while the machine sleeps."""
        begun = datetime.now(UTC)
        passed = timedelta()
        while timedelta() <= passed < _LOOK:
            await asyncio.sleep(_TICK_S)
            passed = datetime.now(UTC) - begun
