"""Fetches the proofs of ACME challenges on this machine, and passes them on at port 80.

Owns one GET on a connection of its own (RFC 8555 8.3), one handshake that ends there (RFC 8737 3), and which requests
over plain HTTP are for the proof of a challenge that is open now. Refuses every other request, answers that are longer
than a proof, redirects, and whatever takes more than ten seconds. Strategy: what is dialled is an Upstream whose
addresses are loopback, so a name is never resolved.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import cast

import msgspec

from devtls.http.actions import DialFailed
from devtls.http.events import Data, EndOfMessage, Malformed, Request, Reset, Response, UpstreamEvent
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.upstream import H1UpstreamCodec
from devtls.net.upstream.dial import Dialler
from devtls.routing import LOCAL_ADDRESSES, Upstream

TIMEOUT_S = 10.0
# A proof is a token, a dot and a thumbprint (RFC 8555 8.1), some 90 bytes: whatever is longer is none.
_MOST_BYTES = 4096
_AGENT = b"devtls ACME validation"


class Fetched(msgspec.Struct, frozen=True):
    """What the proof's place was answered with."""

    status: int
    body: bytes


class Shown(msgspec.Struct, frozen=True):
    """What a handshake showed: the protocol that was agreed upon, and the certificate, DER."""

    alpn: str | None
    certificate: bytes


Contexts = Callable[[Upstream], ssl.SSLContext]


class Challenges(msgspec.Struct):
    """The challenges that are open now; `pending` are pairs of a host and the path of its proof.

    `place` says where the proof of a host is looked for, None for nowhere.
    """

    contexts: Contexts
    place: Callable[[str], Upstream | None] = lambda _: None
    pending: frozenset[tuple[str, bytes]] = frozenset()

    def wanted(self, host: str, request: Request) -> Upstream | None:
        """Return where to pass a request on to, None for every request that is not for an open challenge."""
        # Only while a challenge is open: port 80 is otherwise no way to an app without TLS.
        if request.method not in (b"GET", b"HEAD") or (host, request.target) not in self.pending:
            return None
        return self.place(host)


def local_port(port: int) -> Upstream:
    """Return a port of this machine, in both families."""
    addresses = tuple((address, port) for address in LOCAL_ADDRESSES)
    return Upstream(addresses, "localhost", port, "", None, f"127.0.0.1:{port}")


async def fetch(upstream: Upstream, host: str, path: bytes, contexts: Contexts) -> Fetched | str:
    """Return what is at `path`, or why nothing could be had."""
    if upstream.http2:
        return f"{upstream.label} speaks HTTP/2 only."
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found = await Dialler(upstream, _Fetch, contexts).connect(TIMEOUT_S, None)
            if isinstance(found, DialFailed):
                return "; ".join(f"{address}: {why}" for address, why in found.tried) + "."
            try:
                return await found.get(host, path)
            finally:
                # One GET per connection: nothing is kept for a validation that may never be repeated.
                found.abort()
    except TimeoutError:
        return f"{upstream.label} did not answer within {TIMEOUT_S:g} s."


class _Fetch(asyncio.Protocol):
    """One connection for one answer (dial.Dialled)."""

    def __init__(self) -> None:
        self.closed = False
        self._codec = H1UpstreamCodec(HeadLimits())
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Fetched | str] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        self._take(self._codec.receive_data(data))

    def eof_received(self) -> bool:
        self._take(self._codec.receive_eof())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        # A body without a length ends with the connection (RFC 9112 6.3): it may be complete only now.
        self._take(self._codec.receive_eof())
        self._settle("The connection ended before the answer did.")

    def _take(self, events: Iterable[UpstreamEvent]) -> None:
        for event in events:
            match event:
                case Response():
                    self._status = event.status
                case Data():
                    self._body += event.data
                    if len(self._body) > _MOST_BYTES:
                        self._settle(f"The answer is longer than {_MOST_BYTES} bytes.")
                case EndOfMessage():
                    self._settle(Fetched(self._status, self._body))
                case Malformed() | Reset():
                    self._settle(event.reason)
                case _:
                    continue

    def _settle(self, result: Fetched | str) -> None:
        # The end of the connection follows a complete response: the first result stands.
        if not self._answer.done():
            self._answer.set_result(result)

    async def ready(self) -> str | None:
        """An HTTP/1.1 server says nothing before it is asked."""
        return None

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def get(self, host: str, path: bytes) -> Fetched | str:
        """Ask, and return the answer or why there is none."""
        # No port: validation is always at port 80 (RFC 8555 8.3), whichever port the request is dialled to.
        fields = [(b"Host", host.encode("ascii")), (b"User-Agent", _AGENT), (b"Connection", b"close")]
        request = Request(1, b"GET", path, host.encode("ascii"), fields)
        if self._transport is not None:
            self._transport.write(self._codec.send(request))
        return await self._answer


async def perform_handshake(port: int, name: str, protocol: str) -> Shown | str:
    """Return the certificate that a local TLS server shows for `name` and `protocol`, or why there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate signs itself: whoever asked judges what is in it
    context.verify_mode = ssl.CERT_NONE
    # The protocol is part of the proof (RFC 8737 3): without it the app shows its ordinary certificate.
    context.set_alpn_protocols([protocol])
    trouble = ""
    for address in LOCAL_ADDRESSES:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
        except TimeoutError:
            trouble = trouble or f"{address} port {port} did not answer within {TIMEOUT_S:g} s."
        except (OSError, ssl.SSLError) as error:
            trouble = trouble or f"{address} port {port}: {error.strerror or error}."
        else:
            shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
            certificate = shown.getpeercert(binary_form=True) or b""
            # RFC 8737 3: no application data follows; the handshake was all of it.
            writer.transport.abort()
            return Shown(shown.selected_alpn_protocol(), certificate)
    return trouble
