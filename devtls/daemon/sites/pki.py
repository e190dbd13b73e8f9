"""The PKI endpoint of a running proxy: the CA's own port on 127.0.0.1, where its certificates point to.

Owns the socket and when the revocation list is signed anew: looked at each request (so also after the machine slept,
and after every revocation) and every hour. A port that is taken is no stop: it is tried again, since a second devtls
serve of the same CA, which publishes the same lists, may end first; anybody else on it is worth a warning, for clients
that insist on the lists.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from devtls.daemon.console.log import Log
from devtls.daemon.sites.publications import Publications
from devtls.errors import DevtlsError, StateError
from devtls.net.client.listener import Bound, bind
from devtls.pki.leaf import Signer
from devtls.system.machine.port_holder import port_holder
from devtls.system.storage.keystore import Keystore
from devtls.web.lazy_site import LazySite

if TYPE_CHECKING:
    from aiohttp import web

    from devtls.pki.ocsp import OcspResponse, Publisher
    from devtls.system.storage.pointer import Pointer
    from devtls.system.storage.register import Register
    from devtls.web.pki_endpoint import Document
    from devtls.web.pki_page import RootCard

_LOOK = timedelta(hours=1)
_TICK_S = 30.0
_CACHED = timedelta(minutes=5)
"""How long a list may be kept without asking again: a revocation waits for no longer than that."""
_RETRY_S = 10.0
_OURSELVES = "devtls "
"""How `port_holder` names another process of ours."""


class PkiSite:
    """The endpoint of one CA after the other."""

    def __init__(self, keystore: Keystore, authority: Signer, log: Log) -> None:
        self._keystore = keystore
        self._publications = Publications(keystore)
        self._authority = authority
        self._log = log
        self._site: LazySite | None = None
        self._opened: tuple[Pointer | None, tuple[Register, ...]] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the port is ours."""
        return self._site is not None

    def start(self) -> None:
        """Listen, and keep the list fresh."""
        self._open()
        self._renewal = asyncio.get_running_loop().create_task(self._renew())

    def replace(self, authority: Signer) -> None:
        """Speak for another CA, on its port."""
        moved = authority.pki_port != self._authority.pki_port or self._site is None
        self._authority = authority
        if moved:
            if self._site is not None:
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
            bound: Bound = bind(port, ("127.0.0.1",))
        except DevtlsError:
            self._site = None
            if self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._warn_of_holder(port))
            return
        self._site = LazySite(bound.sockets[0], partial(_make_app, self))
        self._site.start()

    async def _warn_of_holder(self, port: int) -> None:
        holder = await asyncio.to_thread(port_holder, port)
        if not holder.startswith(_OURSELVES):
            self._log.warn(
                f"port {port} on 127.0.0.1 belongs to {holder or 'another program'}, and this CA's revocation lists "
                "belong there: clients that insist on them (curl on Windows, .NET) may refuse.",
                event="pki_port_taken",
                port=port,
            )

    async def documents(self) -> dict[str, Document]:
        """Return path -> what is to be downloaded there, as of now."""
        from devtls.pki.apple_profile import CONTENT_TYPE, apple_profile
        from devtls.pki.revocation import load_crl
        from devtls.web.pki_endpoint import Document

        authority = self._authority
        root_der = ssl.PEM_cert_to_DER_cert(authority.root_pem.decode("ascii"))
        found = {
            "/devtls-root.pem": Document(authority.root_pem, "application/x-pem-file"),
            "/devtls-root.crt": Document(root_der, "application/x-x509-ca-cert"),
            "/devtls-root.mobileconfig": Document(apple_profile(root_der, authority.id), CONTENT_TYPE),
            "/root.pem": Document(authority.root_pem, "application/x-pem-file"),
            "/root.der": Document(root_der, "application/x-x509-ca-cert"),
        }
        for path, content in (await self._current_crls()).items():
            crl = load_crl(content)
            until = _refresh_at(crl.next_update_utc)
            found[path] = Document(content, "application/pkix-crl", until, crl.last_update_utc)
        return found

    async def status(self, request: bytes) -> Document:
        """Return the answer to an OCSP request, as of now."""
        from devtls.pki.ocsp import RESPONSE_TYPE, try_later_response
        from devtls.web.pki_endpoint import Document

        now = datetime.now(UTC)
        try:
            found = await asyncio.to_thread(self._answer, request, now)
        except DevtlsError as error:
            self._log.report(f"the status of a certificate cannot be told: {error}")
            found = try_later_response()
        return Document(found.der, RESPONSE_TYPE, _refresh_at(found.until), None if found.until is None else now)

    def _answer(self, request: bytes, now: datetime) -> OcspResponse:
        from devtls.pki.ocsp import respond
        from devtls.system.storage.register import open_registers

        pointer = self._keystore.pointer()
        if pointer is None or self._opened is None or self._opened[0] != pointer:
            # A key that is locked costs a third of a second to open: not at every question.
            self._opened = pointer, open_registers(self._keystore, now)
        present, *older = self._opened[1]
        publishers = [self._publisher(present, now)]
        for register in older:
            with contextlib.suppress(DevtlsError):  # its key is locked, or it was retired a moment ago
                publishers.append(self._publisher(register, now))
        return respond(request, publishers, now)

    def _publisher(self, register: Register, now: datetime) -> Publisher:
        from devtls.pki.ocsp import Publisher

        found = self._publications.of(register.authority, now)
        return Publisher(register.authority, found.crl, found.issued)

    def root_card(self) -> RootCard:
        """Return what the page says of the root, as of now."""
        from devtls.web.pki_page import RootCard

        signer = self._authority  # the intermediate's dates end with the root's
        return RootCard(f"devtls root {signer.id}", signer.fingerprint, signer.zones, signer.not_after)

    async def _current_crls(self) -> dict[str, bytes]:
        try:
            found, trouble = await asyncio.to_thread(self._sign_crls, self._authority)
            if trouble:
                self._log.report(f"{trouble} devtls doctor says what to do.")
            return found
        except DevtlsError as error:
            self._log.report(f"the revocation list cannot be renewed: {error}")
            return {}

    def _sign_crls(self, signer: Signer) -> tuple[dict[str, bytes], str]:
        """Return path -> list, and what is wrong with the CA itself, "" if nothing is."""
        now = datetime.now(UTC)
        authority = self._keystore.load(now)
        if authority.fingerprint != signer.fingerprint:
            raise StateError("The CA was replaced.", hint="devtls serve takes the new one over in a moment")
        crl = self._publications.of(authority, now).der  # always: what is revoked is not shown again
        found = {signer.intermediate_crl_path: crl} if authority.signs_lists else {}
        if authority.root_crl_der:  # else the root is somebody else's, who publishes its list
            found[signer.root_crl_path] = authority.root_crl_der
        for older in self._keystore.load_older(now):  # what it signed is still in use, and asks at its own path
            if older.root_crl_der:
                found.setdefault(older.root_crl_path, older.root_crl_der)
            with contextlib.suppress(DevtlsError):  # its key is locked, or it was retired a moment ago
                if not older.signs_lists:
                    continue
                found[older.intermediate_crl_path] = self._publications.of(older, now).der
        return found, authority.withdrawn_in_words

    async def _renew(self) -> None:
        if self._authority.generation != f"ca-{self._authority.id}":  # imported: its root's list is made elsewhere
            await self._current_crls()
        while True:
            if self._site is None:
                await asyncio.sleep(_RETRY_S)
                self._open()
            else:
                await self._until_look()
                await self._current_crls()

    async def _until_look(self) -> None:
        """Wait for an hour by the wall clock: the loop's own stands still while the machine sleeps."""
        begun = datetime.now(UTC)
        passed = timedelta()
        while timedelta() <= passed < _LOOK:
            await asyncio.sleep(_TICK_S)
            passed = datetime.now(UTC) - begun


def _refresh_at(next_update: datetime | None) -> datetime | None:
    soon = datetime.now(UTC) + _CACHED
    return min(soon, next_update) if next_update is not None else None


def _make_app(site: PkiSite) -> web.Application:
    from devtls.web.pki_endpoint import make_pki_app

    return make_pki_app(site.documents, site.root_card, site.status)
