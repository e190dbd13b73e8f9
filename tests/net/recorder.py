"""A tap that records everything, for tests: it counts each event, and refuses to hear of anything twice."""

from __future__ import annotations

from devtls.http.actions import SendErrorPage
from devtls.http.events import (
    ClientEvent,
    Data,
    InformationalResponse,
    Malformed,
    Request,
    Response,
    Trailers,
)
from devtls.net.tap import ClientDetails, Direction, ResponseEvent
from devtls.net.tls.handshake import HandshakeFailure
from devtls.routing import Route


class Recorder:
    """One exchange (ExchangeRecorder)."""

    def __init__(self, request: Request, route: Route | None) -> None:
        self.head = request
        self.route = route
        self.client: ClientDetails
        self.calls: list[str] = []
        self.request_body = b""
        self.request_trailers: list[tuple[bytes, bytes]] = []
        self.attempts: list[Request] = []
        self.failure: SendErrorPage | None = None
        self.interim: list[int] = []
        self.status = 0
        self.response_headers: list[tuple[bytes, bytes]] = []
        self.response_body = b""
        self.response_trailers: list[tuple[bytes, bytes]] = []
        self.from_client = b""
        self.from_upstream = b""
        self.complete: bool | None = None

    def _note(self, call: str) -> None:
        assert self.complete is None, f"{call} behind the end"
        self.calls.append(call)

    def request(self, event: ClientEvent) -> None:
        self._note(f"request {type(event).__name__}")
        match event:
            case Data(data=data):
                self.request_body += data
            case Trailers(headers=headers):
                self.request_trailers += headers
            case Malformed(status=status):
                self.calls[-1] += f" {status}"
            case _:
                assert not isinstance(event, Request)

    def dialling(self) -> None:
        self._note("dialling")

    def attempt(self, request: Request, *, reused: bool) -> None:
        self._note(f"attempt {'reused' if reused else 'fresh'}")
        self.attempts.append(request)

    def failed(self, failure: SendErrorPage) -> None:
        self._note(f"failed {failure.kind.name}")
        self.failure = failure

    def response(self, event: ResponseEvent) -> None:
        match event:
            case InformationalResponse(status=status):
                self._note(f"interim {status}")
                self.interim.append(status)
            case Response(status=status, headers=headers):
                assert not self.status, "a second response"
                self._note(f"response {status}")
                self.status, self.response_headers = status, headers
            case Data(data=data):
                self._note("response Data")
                self.response_body += data
            case Trailers(headers=headers):
                self._note("response Trailers")
                self.response_trailers += headers
            case _:
                self._note(f"response {type(event).__name__}")

    def tunnel(self, direction: Direction, data: bytes) -> None:
        self._note(f"tunnel {data.decode('latin-1')}")
        if direction is Direction.FROM_CLIENT:
            self.from_client += data
        else:
            self.from_upstream += data

    def ended(self, *, complete: bool) -> None:
        self._note(f"ended {complete}")
        self.complete = complete

    def once(self, call: str) -> bool:
        """Say whether there was such a call, and no other."""
        return self.calls.count(call) == 1


class RecordingTap:
    """A Tap that wants everything."""

    def __init__(self) -> None:
        self.exchanges: list[Recorder] = []
        self.failures: list[HandshakeFailure] = []

    def begin(self, request: Request, client: ClientDetails, route: Route | None) -> Recorder:
        made = Recorder(request, route)
        made.client = client
        self.exchanges.append(made)
        return made

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        self.failures.append(failure)

    @property
    def last(self) -> Recorder:
        return self.exchanges[-1]
