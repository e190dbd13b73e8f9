"""Looks at responses of an app for what its framework says there: refusals, its scripts, its idea of its own address.

Owns the first bytes of such a body, until they are enough to tell, and how often a route is looked at:
`http.frameworks` knows what they mean. An error response is always looked at; of the others the first pages and
scripts of a route, until it is known what they show. Nothing is held up or changed: the response passes to the client
as it comes. Of a request for a script only the encodings are left out that could not be read here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from devtls.http.events import Data, EndOfMessage, Request, Response, UpstreamEvent
from devtls.http.frameworks import hot_reload, scheme
from devtls.http.frameworks.advice import FrameworkFinding
from devtls.http.frameworks.host_check import SNIFF_BYTES, STATUSES, recognise
from devtls.http.headers import get

_MOST_PAGES = 100
_MOST_SCRIPTS = 60
_MOST_EXCHANGES = 5000
"""For each route: a look costs 2 us, and as much as 10 ms for a script of some MB."""
_SCRIPT_BYTES = 16 * 1024 * 1024
_UNREADABLE = (b"br", b"zstd")
"""Encodings that Python's own library cannot undo."""

Report = Callable[[FrameworkFinding], None]


class RouteWatch:
    """How often the responses of one route are looked at still, and which framework they have shown."""

    __slots__ = ("exchanges", "pages", "scripts", "seen")

    def __init__(self) -> None:
        self.exchanges = _MOST_EXCHANGES
        self.pages = _MOST_PAGES
        self.scripts = _MOST_SCRIPTS
        self.seen = ""

    @property
    def looks(self) -> bool:
        """Whether the next response is looked at."""
        self.exchanges -= 1
        return self.exchanges >= 0 and (self.pages > 0 or self.scripts > 0)


class ResponseWatch:
    """Looks at one response; `report` is called with what it shows."""

    __slots__ = ("_body", "_decoder", "_left", "_report", "_request", "_response", "_route", "_script", "https_port")

    def __init__(self, request: Request, route: RouteWatch, https_port: int, report: Report) -> None:
        self.https_port = https_port
        self._request = request
        self._route = route
        self._report = report
        self._response: Response | None = None
        self._script: hot_reload.ScriptSearch | None = None
        self._decoder: zlib._Decompress | None = None
        self._body = b""
        self._left = 0
        """How much of the body is looked at yet; 0 = the rest passes unseen."""

    def readable(self, request: Request) -> Request:
        """Return the request without encodings that its script could not be read in."""
        if self._route.scripts <= 0 or not _asks_for_script(request):
            return request
        headers = [
            (name, _readable(value)) if name.lower() == b"accept-encoding" else (name, value)
            for name, value in request.headers
        ]
        return Request(
            request.stream_id,
            request.method,
            request.target,
            request.authority,
            headers,
            request.body_length,
            request.http_version,
            request.expects_continue,
            request.upgrade,
            request.websocket_key,
        )

    def take(self, event: UpstreamEvent) -> None:
        """Look at an event, as the app sent it."""
        if type(event) is Response:
            self._begin(event)
        elif self._left and type(event) is Data:
            self._take_body(event.data)
        elif self._left and type(event) is EndOfMessage:
            self._end()

    def _begin(self, response: Response) -> None:
        self._response = response
        route = self._route
        route.seen = scheme.framework_of_head(response.headers) or route.seen
        if response.status in STATUSES:
            self._left = SNIFF_BYTES
        else:
            if (found := scheme.of_head(self._request, response, route.seen)) is not None:
                self._report(found)
            self._left = self._wanted(response)
        encoding = get(response.headers, b"content-encoding")
        if self._left and encoding is not None:
            if encoding.lower() in (b"gzip", b"deflate"):
                self._decoder = zlib.decompressobj(32 + zlib.MAX_WBITS)  # either header
            else:
                self._left = 0

    def _wanted(self, response: Response) -> int:
        """Return how much of the body of a response that is no error is looked at."""
        if response.status != 200:
            return 0
        route, kind = self._route, (get(response.headers, b"content-type") or b"").lower()
        if route.pages > 0 and kind.startswith(b"text/html"):
            route.pages -= 1
            return scheme.PAGE_BYTES
        if route.scripts > 0 and b"javascript" in kind:
            route.scripts -= 1
            self._script = hot_reload.ScriptSearch()
            return _SCRIPT_BYTES
        return 0

    def _take_body(self, data: bytes) -> None:
        if self._decoder is not None:
            try:
                data = self._decoder.decompress(data, self._left)
            except zlib.error:
                self._left = 0
                return
        data = data[: self._left]
        self._left -= len(data)
        if self._script is None:
            self._body += data
        else:
            self._script.feed(data)
            if self._script.found is not None:
                self._left = 0
                self._end_script(self._script.found)
                return
        if not self._left:
            self._end()

    def _end(self) -> None:
        # A body as short as webpack-dev-server's is recognised only whole: its end counts, too.
        self._left = 0
        response, route = self._response, self._route
        if response is None or self._script is not None:
            return
        kind = get(response.headers, b"content-type") or b""
        if (advice := recognise(response.status, kind, self._body)) is not None:
            self._report(FrameworkFinding(advice, route.seen))
        if response.status in STATUSES:
            return
        route.seen = scheme.framework_of_page(self._body) or route.seen
        if (found := scheme.of_page(self._request, self._body, route.seen)) is not None:
            self._report(found)

    def _end_script(self, dialled: hot_reload.ReloadAddress) -> None:
        self._route.scripts = 0  # there is one such script
        if (found := hot_reload.finding(dialled, self.https_port, self._route.seen)) is not None:
            self._report(found)


def _asks_for_script(request: Request) -> bool:
    path = request.target.partition(b"?")[0]
    return (
        request.method == b"GET"
        and (path.endswith((b".js", b"/@vite/client")) or get(request.headers, b"sec-fetch-dest") == b"script")
    )  # fmt: skip


def _readable(value: bytes) -> bytes:
    codings = [coding.strip() for coding in value.split(b",")]
    return b", ".join(each for each in codings if each.partition(b";")[0].strip().lower() not in _UNREADABLE)


def asks_for_look(response: Response) -> bool:
    """Say whether a response is looked at whatever its route has shown before."""
    return response.status in STATUSES
