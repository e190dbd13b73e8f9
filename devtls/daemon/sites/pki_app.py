"""The content of the PKI endpoint: CRLs, OCSP responses and the root, as of each request.

Owns when a CRL is signed anew: looked at in each request, so also after the machine slept and after every revocation.
Imported in a thread after the start, and cryptography.x509 with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from aiohttp import web

from devtls.daemon.console.log import Log
from devtls.daemon.sites.publications import Publications
from devtls.errors import DevtlsError, StateError
from devtls.pki.apple_profile import CONTENT_TYPE, apple_profile
from devtls.pki.leaf import Signer
from devtls.pki.ocsp import RESPONSE_TYPE, OcspResponse, Publisher, respond, try_later_response
from devtls.pki.revocation import load_crl
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.pointer import Pointer
from devtls.system.storage.register import Register, open_registers
from devtls.web.pki_endpoint import Document, make_pki_app
from devtls.web.pki_page import RootCard

_CACHED = timedelta(minutes=5)
"""How long a CRL may be kept without asking again: a revocation waits for no longer than that."""


def make_app(content: Callable[[], PkiContent]) -> web.Application:
    """Return the app of the endpoint."""
    served = content()
    return make_pki_app(served.documents, served.root_card, served.status)


class PkiContent:
    """What the endpoint of a state directory serves; `authority` gives the CA of the moment."""

    def __init__(self, keystore: Keystore, authority: Callable[[], Signer], log: Log) -> None:
        self._keystore = keystore
        self._publications = Publications(keystore)
        self._signer = authority
        self._log = log
        self._opened: tuple[Pointer | None, tuple[Register, ...]] | None = None

    async def documents(self) -> dict[str, Document]:
        """Return path -> what is to be downloaded there, as of now."""
        authority = self._signer()
        root_der = ssl.PEM_cert_to_DER_cert(authority.root_pem.decode("ascii"))
        found = {
            "/devtls-root.pem": Document(authority.root_pem, "application/x-pem-file"),
            "/devtls-root.crt": Document(root_der, "application/x-x509-ca-cert"),
            "/devtls-root.mobileconfig": Document(apple_profile(root_der, authority.id), CONTENT_TYPE),
            "/root.pem": Document(authority.root_pem, "application/x-pem-file"),
            "/root.der": Document(root_der, "application/x-x509-ca-cert"),
        }
        for path, content in (await self.current_crls()).items():
            crl = load_crl(content)
            until = _refresh_at(crl.next_update_utc)
            # RFC 2585 4.2.
            found[path] = Document(content, "application/pkix-crl", until, crl.last_update_utc)
        return found

    async def status(self, request: bytes) -> Document:
        """Return the answer to an OCSP request, as of now."""
        now = datetime.now(UTC)
        try:
            found = await asyncio.to_thread(self._answer, request, now)
        except DevtlsError as error:
            self._log.report(f"the status of a certificate cannot be told: {error}")
            # tryLater (RFC 6960 2.3): clients that fail softly go on, and none is told a lie.
            found = try_later_response()
        return Document(found.der, RESPONSE_TYPE, _refresh_at(found.until), None if found.until is None else now)

    def _answer(self, request: bytes, now: datetime) -> OcspResponse:

        pointer = self._keystore.pointer()
        if pointer is None or self._opened is None or self._opened[0] != pointer:
            # A key that is locked costs a third of a second to open: not at every question.
            self._opened = pointer, open_registers(self._keystore, now)
        present, *older = self._opened[1]
        publishers = list(self._publishers(present, now))
        for register in older:
            with contextlib.suppress(DevtlsError):  # its key is locked, or it was retired a moment ago
                publishers.extend(self._publishers(register, now))
        return respond(request, publishers, now)

    def _publishers(self, register: Register, now: datetime) -> Iterator[Publisher]:
        authority = register.authority
        for issuer in authority.intermediates:
            found = self._publications.of(authority, issuer, now)
            yield Publisher(issuer, found.crl, found.issued, mints=issuer is authority.intermediate)

    def root_card(self) -> RootCard:
        """Return what the page says of the root, as of now."""
        signer = self._signer()  # the intermediate's dates end with the root's
        return RootCard(f"devtls root {signer.id}", signer.fingerprint, signer.zones, signer.not_after)

    async def current_crls(self) -> dict[str, bytes]:
        """Return path -> CRL, signed anew where that is due; what goes wrong is logged."""
        try:
            found, trouble = await asyncio.to_thread(self._sign_crls, self._signer())
            # The CRL is published all the same: it is what tells others of the trouble.
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
        found: dict[str, bytes] = {}
        for issuer in authority.intermediates:
            crl = self._publications.of(authority, issuer, now).der  # always: what is revoked is not shown again
            if authority.signs_crls:
                found[authority.crl_path_of(issuer)] = crl
        if authority.root_crl_der:  # else the root is somebody else's, who publishes its list
            found[signer.root_crl_path] = authority.root_crl_der
        for older in self._keystore.load_older(now):  # what it signed is still in use, and asks at its own path
            if older.root_crl_der:
                found.setdefault(older.root_crl_path, older.root_crl_der)
            with contextlib.suppress(DevtlsError):  # its key is locked, or it was retired a moment ago
                for issuer in older.intermediates if older.signs_crls else ():
                    found[older.crl_path_of(issuer)] = self._publications.of(older, issuer, now).der
        return found, authority.withdrawn_in_words


def _refresh_at(next_update: datetime | None) -> datetime | None:
    soon = datetime.now(UTC) + _CACHED
    # Never kept beyond nextUpdate: an expired CRL is as bad as none (RFC 5280 5.1.2.5).
    return min(soon, next_update) if next_update is not None else None
