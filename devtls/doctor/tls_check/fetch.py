"""One response over plain HTTP, for CRLs and OCSP: bounded in size and time, limited to addresses that may be asked.

Owns the limits of size and time. Refuses redirects, every scheme but http, and, for a server out on the internet,
addresses inside private networks: a certificate must not make this machine ask a neighbour's router for pages.
"""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from devtls.doctor.tls_check.certificate import shortened
from devtls.doctor.tls_check.resolve import CannotReach, connect, cut_after
from devtls.errors import DevtlsError

LARGEST = 8 << 20
"""Bytes of an answer: the longest lists of public CAs are about as long."""
_PIECE = 64 << 10


class NotFetched(DevtlsError):
    """Nothing usable came back; the text is half a sentence."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """`timeout_s` is for one whole answer; `private` allows addresses in private networks and on this machine."""

    timeout_s: float
    private: bool

    def fetch(self, url: str, body: bytes | None = None, media_type: str = "") -> bytes:
        """Return the body at `url` (POST when there is one to send); raises NotFetched."""
        shown = shortened(url)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or 80
        except ValueError as error:
            raise NotFetched(f"{shown} is no address") from error
        # CRLs and OCSP are signed themselves, and https would need revocation in turn (RFC 5280 section 8).
        if parts.scheme != "http" or not host:
            raise NotFetched(f"{shown} is not fetched: only http:// addresses are")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # A line end in it would begin another header field of the request.
        if not target.isascii() or not target.isprintable() or " " in target:
            raise NotFetched(f"{shown} is no address")
        connection = http.client.HTTPConnection(host, port)
        try:
            connection.sock = connect(host, port, self.timeout_s)
            # The connected peer, not the name: a second look-up could give another address (DNS rebinding).
            self._check_place(connection.sock.getpeername()[0], shown)
            headers = {"Content-Type": media_type} if body is not None else {}
            with cut_after(connection.sock, self.timeout_s) as limit:
                connection.request("GET" if body is None else "POST", target, body, headers)
                return _read(connection, limit, shown)
        except CannotReach as error:
            raise NotFetched(f"{shown} cannot be reached ({error})") from error
        except (OSError, http.client.HTTPException) as error:
            raise NotFetched(f"{shown} did not answer ({_words(error)})") from error
        finally:
            connection.close()

    def _check_place(self, ip: str, shown: str) -> None:
        if not self.private and not ip_address(ip.partition("%")[0]).is_global:
            raise NotFetched(f"{shown} leads into a private network, which is not followed from a public server")


def _read(connection: http.client.HTTPConnection, limit: threading.Event, shown: str) -> bytes:
    content = b""
    with connection.getresponse() as answer:
        if answer.status != http.client.OK:
            raise NotFetched(f"{shown} answered {answer.status}")
        while piece := answer.read1(_PIECE):
            content += piece
            if len(content) > LARGEST:
                raise NotFetched(f"{shown} is longer than {LARGEST >> 20} MiB")
    # The cut looks like the end of a body without a length: what came so far is not all.
    if limit.is_set():
        raise NotFetched(f"{shown} is too slow")
    return content


def _words(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else shortened(str(error) or type(error).__name__)
