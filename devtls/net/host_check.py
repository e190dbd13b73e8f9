"""Observes error responses for a framework's host check, the refusal of a name that the framework does not know.

Owns the first bytes of such a body, until they are enough to tell; `http.answers.host_check` knows what they mean.
Nothing is held up: the response passes to the client, and to the recorder behind this one, as it comes.
"""

from __future__ import annotations

from collections.abc import Callable

from devtls.http.actions import SendErrorPage
from devtls.http.answers.host_check import SNIFF_BYTES, STATUSES, HostCheck, recognise
from devtls.http.events import ClientEvent, Data, EndOfMessage, Request, Response
from devtls.http.headers import get
from devtls.net.tap import Direction, ExchangeRecorder, ResponseEvent


class HostCheckObserver:
    """Records one suspect response (ExchangeRecorder); `found` is called when it was a host check's.

    `inner` is the recorder that a tap gave for the same exchange.
    """

    __slots__ = ("_body", "_content_type", "_found", "_inner", "_over", "_status")

    def __init__(self, response: Response, inner: ExchangeRecorder | None, found: Callable[[HostCheck], None]) -> None:
        self._status = response.status
        self._content_type = get(response.headers, b"content-type") or b""
        self._body = b""
        self._over = False
        self._inner = inner
        self._found = found

    def response(self, event: ResponseEvent) -> None:
        """Look at the body until enough of it is here."""
        if self._inner is not None:
            self._inner.response(event)
        if self._over:
            return
        if isinstance(event, Data):
            self._body += event.data[: SNIFF_BYTES - len(self._body)]
        # A body as short as webpack-dev-server's is recognised only whole: its end counts, too.
        if isinstance(event, EndOfMessage) or len(self._body) >= SNIFF_BYTES:
            self._over = True
            if (check := recognise(self._status, self._content_type, self._body)) is not None:
                self._found(check)

    def request(self, event: ClientEvent) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.request(event)

    def dialling(self) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.dialling()

    def attempt(self, request: Request, *, reused: bool) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.attempt(request, reused=reused)

    def failed(self, failure: SendErrorPage) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.failed(failure)

    def tunnel(self, direction: Direction, data: bytes) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.tunnel(direction, data)

    def ended(self, *, complete: bool) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.ended(complete=complete)


def may_be_host_check(response: Response) -> bool:
    """Say whether a response is worth observing."""
    return response.status in STATUSES
