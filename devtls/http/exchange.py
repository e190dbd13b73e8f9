"""One request's life, from the client's head to the last byte of the answer, as a table: (phase, event) -> actions.

Owns the rules that join the two sides: when to dial, what may be retried, which failures the client is told and which
ones it must see as a cut, how long to wait. Refuses nothing and performs nothing: the relay does what the actions say,
in their order, and reports back through `on_client`, `on_upstream`, `on_timer`. One table, so one file.
"""

from __future__ import annotations

from enum import Enum, auto

from devtls.http.actions import (
    AbortUpstream,
    Acquire,
    Action,
    Arm,
    AwaitRestart,
    DialFailed,
    Disarm,
    FailureKind,
    Finish,
    OpenTunnel,
    ReleaseUpstream,
    ReportCookies,
    SendClient,
    SendErrorPage,
    SendUpstream,
    Timer,
    UpstreamReady,
)
from devtls.http.answers.layout import asks_for_page
from devtls.http.cookies import domains_above
from devtls.http.events import (
    ClientEvent,
    ConnectionClosed,
    Data,
    EndOfMessage,
    InformationalResponse,
    Malformed,
    Request,
    Reset,
    Response,
    Trailers,
    UpstreamEvent,
    as_phrase,
    summary_of,
)
from devtls.http.forward import forward_informational, forward_request, forward_response, forward_trailers, is_loop
from devtls.http.headers import get
from devtls.http.terms import Terms
from devtls.http.upgrade import refusal_of

_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""RFC 9110 9.2.2, without TRACE, which the codec refuses."""

BY_TABLE = -1.0
"""What `begin_on_idle` says of a request that has to go through the table."""

_CALL = b"application/grpc"
"""The Content-Type of a gRPC call, whose body may rightly be silent for hours."""

_HTTP_2 = b"2.0"
_REFUSED_STREAM = 7
"""RFC 9113 section 7: the request was not looked at."""

_FRESH_ENOUGH_S = 1.0
"""A request that must not be sent twice takes only a connection idle for less: the app's own timeout cannot be near."""


class Phase(Enum):
    """Where the exchange stands."""

    START = auto()
    ACQUIRING = auto()
    WAITING = auto()
    """The request's head is sent, the final answer's is not yet here."""
    ANSWERING = auto()
    TUNNEL = auto()
    DONE = auto()


_NOTHING: list[Action] = []
_RELEASE = ReleaseUpstream()
_ABORT = AbortUpstream()
_ACQUIRE_ANY = Acquire(None)
_ACQUIRE_FRESH = Acquire(_FRESH_ENOUGH_S)
_HEAD_HERE = Disarm(Timer.RESPONSE_HEAD)
_FINISHED = Finish(complete=True)


class Exchange:
    """One request and its answer; made by the relay when a route was found."""

    __slots__ = (
        "_body_idle",
        "_may_wait_for_continue",
        "_pending",
        "_repeatable",
        "_request",
        "_request_done",
        "_retryable",
        "_reused",
        "_terms",
        "_waited",
        "phase",
    )

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._request: Request  # from _begin on, and no phase but START comes before it
        self._pending: list[Data | Trailers | EndOfMessage] = []
        self._request_done = False
        self._retryable = False
        """It may be sent again though the app may have seen it."""
        self._repeatable = False
        """It may be sent again when the app has not."""
        self._reused = False
        self._may_wait_for_continue = False
        self._body_idle: tuple[Arm, ...] = ()
        """What a piece of a body arms."""
        self._waited = False
        """It has waited for an app that restarts."""
        self.phase = Phase.START

    def __repr__(self) -> str:
        return f"<Exchange {self.phase.name.lower()}>"

    @property
    def request_ended(self) -> bool:
        """Whether the client has sent its whole request, be it passed on or not."""
        return self._request_done or (bool(self._pending) and type(self._pending[-1]) is EndOfMessage)

    # -- what the client does ---------------------------------------------------------------------------------------

    def on_client(self, event: ClientEvent) -> list[Action]:
        """Take the next event of the client's codec."""
        if self._request_done and type(event) is EndOfMessage:
            return _NOTHING  # a request without a body ended with its head
        match self.phase, event:
            case Phase.START, Request():
                return self._begin(event)
            case Phase.ACQUIRING, Data() | Trailers() | EndOfMessage():
                # Bounded by the relay, which stops reading while it dials.
                self._pending.append(event)
                return []
            case Phase.WAITING | Phase.ANSWERING, Data():
                if self._may_wait_for_continue:
                    self._may_wait_for_continue = False  # it did not wait: a 100 would come too late to mean anything
                    return [SendUpstream(event), Disarm(Timer.CONTINUE), *self._body_idle]
                return [SendUpstream(event), *self._body_idle]
            case Phase.WAITING | Phase.ANSWERING, Trailers():
                return [SendUpstream(forward_trailers(event))]
            case Phase.WAITING | Phase.ANSWERING, EndOfMessage():
                return self._request_ended(event)
            case Phase.DONE | Phase.TUNNEL | Phase.START, _:
                return []
            case Phase.ACQUIRING | Phase.WAITING, Malformed():
                # The app must not take the request for whole; the client can still be told what is wrong with it.
                self.phase = Phase.DONE
                page = SendErrorPage(FailureKind.MALFORMED, event.reason, status=event.status)
                return [_ABORT, page, Finish(complete=True, reason=as_phrase(event.reason))]
            case Phase.ANSWERING, Malformed():
                return self._cut(_cut(event), f"bad request: {as_phrase(event.reason)}")
            case _:  # Reset, ConnectionClosed: the client is gone
                return self._finish(_ABORT, "the client left")

    def _begin(self, request: Request) -> list[Action]:
        self._request = request
        self._request_done = request.body_length == 0
        self._may_wait_for_continue = request.expects_continue and request.body_length != 0
        # With a body it could be sent twice only if all of it were kept (RFC 9110 9.2.2, 9112 9.3.1).
        self._repeatable = request.body_length == 0
        self._retryable = self._repeatable and request.method in _IDEMPOTENT
        # gRPC streams may be silent in both directions; every other upload that stands still is given up.
        if not self._request_done and not (get(request.headers, b"content-type") or b"").lower().startswith(_CALL):
            self._body_idle = (Arm(Timer.REQUEST_BODY, self._terms.limits.body_idle_timeout_s),)
        if is_loop(request.headers, self._terms.edge.pseudonym):
            return self._fail(FailureKind.LOOP, "This request has passed through devtls five times.")
        self.phase = Phase.ACQUIRING
        return [_ACQUIRE_ANY if self._retryable else _ACQUIRE_FRESH]

    def _request_ended(self, event: EndOfMessage) -> list[Action]:
        self._request_done = True
        actions: list[Action] = [SendUpstream(event), Disarm(Timer.REQUEST_BODY)]
        if self._may_wait_for_continue:
            self._may_wait_for_continue = False
            actions.append(Disarm(Timer.CONTINUE))
        # The app's clock runs from here: it cannot be blamed for the time that the client took.
        if self.phase is Phase.WAITING:
            actions.append(Arm(Timer.RESPONSE_HEAD, self._terms.limits.response_head_timeout_s))
        return actions

    # -- what the app does ------------------------------------------------------------------------------------------

    def on_upstream(self, event: UpstreamEvent | UpstreamReady | DialFailed) -> list[Action]:
        """Take the next event of the app's side."""
        match self.phase, event:
            case Phase.ANSWERING, Data():
                return [SendClient(event)]
            case Phase.ANSWERING, EndOfMessage():
                return self._answered(event)
            case Phase.WAITING, Response():
                return self._response(event)
            case Phase.ACQUIRING, UpstreamReady():
                return self._send_request(event.reused)
            case Phase.WAITING, InformationalResponse():
                return self._informational(event)
            case Phase.ANSWERING, Trailers():
                return [SendClient(forward_trailers(event))]
            # Nothing was sent, so every method may get the page that tries again.
            case Phase.ACQUIRING, DialFailed():
                return self._dial_failed(event)
            case Phase.WAITING, Reset() | ConnectionClosed() | Malformed():
                return self._failed_before_answer(event)
            case Phase.ANSWERING, Reset():
                # Its code means something to gRPC, but no answer that was cut may pass for a whole one (NO_ERROR).
                cut = Reset(event.stream_id, event.reason, event.code) if event.code else _cut(event)
                return self._cut(cut, summary_of(event))
            case Phase.ANSWERING, Malformed():
                return self._cut(_cut(event), summary_of(event))
            case Phase.ANSWERING, ConnectionClosed():
                cut = Reset(event.stream_id, "The app closed the connection in the middle of its answer.")
                return self._cut(cut, "closed in the middle of the answer")
            case _:
                return []

    def _dial_failed(self, event: DialFailed) -> list[Action]:
        wait_s = self._terms.retry_down_s
        if event.restarting and wait_s and not self._waited and not asks_for_page(self._request):
            self._waited = True  # once
            return [AwaitRestart(wait_s, event)]
        if event.timed_out:
            return self._fail(FailureKind.CONNECT_TIMEOUT, "The app cannot be reached.", event.tried, event.summary)
        waited = f", for {wait_s:g} s" if self._waited else ""
        summary = event.summary + waited
        return self._fail(FailureKind.UNREACHABLE, "The app cannot be reached.", event.tried, summary)

    # -- the usual exchange in two steps ------------------------------------------------------------------------------
    # The same rows of the table for a request without a body that finds an idle connection (2.2 us less), and for an
    # answer that one read brings whole (5.8 us less): most exchanges are like that, and cost 26 us outside of the
    # sockets (CPython 3.11, HTTP/1.1 on both sides). A test compares both with the table, attribute by attribute.

    def begin_on_idle(self, request: Request) -> float | None:
        """Return how long the connection for a request may have been idle, as in Acquire, or BY_TABLE.

        `send_on_idle` tells what to send on such a connection; where there is none, `on_client` begins.
        """
        if request.body_length != 0 or is_loop(request.headers, self._terms.edge.pseudonym):
            return BY_TABLE
        return None if request.method in _IDEMPOTENT else _FRESH_ENOUGH_S

    def send_on_idle(self, request: Request) -> Request:
        """Return what the app gets; RESPONSE_HEAD is to be armed."""
        self._request = request
        self._request_done = self._reused = self._repeatable = True
        self._retryable = request.method in _IDEMPOTENT
        self.phase = Phase.WAITING
        return forward_request(request, self._terms.policy, self._terms.edge)

    def take_whole_response(self, head: Response) -> Response | None:
        """Return the answer's head for the client: body and end go behind it, the exchange is over and complete.

        None = take the events one by one.
        """
        # A WebSocket's request may get no 2xx (RFC 8441 5): the table looks at that.
        if self.phase is not Phase.WAITING or not self._request_done or self._request.websocket_key:
            return None
        terms = self._terms
        if terms.policy.cookie_hosts:  # what is done to cookies is reported
            return None
        self.phase = Phase.DONE
        return forward_response(head, terms.policy, terms.edge, authority=self._request.authority)

    def refuse_answer(self, summary: str) -> list[Action]:
        """The client takes no such answer as the app has begun: it gets a page in its place."""
        return [_ABORT, *self._fail(FailureKind.BROKEN_ANSWER, summary)]

    def _send_request(self, reused: bool) -> list[Action]:
        request = self._request
        limits = self._terms.limits
        self.phase = Phase.WAITING
        self._reused = reused
        actions: list[Action] = [SendUpstream(forward_request(request, self._terms.policy, self._terms.edge))]
        if request.body_length == 0:
            actions.append(Arm(Timer.RESPONSE_HEAD, limits.response_head_timeout_s))
            return actions
        pending, self._pending = self._pending, []
        for event in pending:
            actions.extend(self.on_client(event))
        if self._may_wait_for_continue:
            actions.append(Arm(Timer.CONTINUE, limits.continue_wait_s))
        elif not self._request_done:
            actions.extend(self._body_idle)
        return actions

    def _informational(self, event: InformationalResponse) -> list[Action]:
        terms = self._terms
        # The app has begun to act on the request.
        self._retryable = self._repeatable = False
        if event.status == 101 and (why := refusal_of(self._request, event)):
            return [_ABORT, *self._fail(FailureKind.BROKEN_ANSWER, why)]
        edited = forward_informational(event, terms.policy, terms.edge, authority=self._request.authority)
        if event.status == 101:
            self.phase = Phase.TUNNEL
            return [Disarm(Timer.RESPONSE_HEAD), *self._cookies(event), SendClient(edited), OpenTunnel()]
        actions: list[Action] = [*self._cookies(event), SendClient(edited)]
        if event.status == 100 and self._may_wait_for_continue:
            self._may_wait_for_continue = False
            actions += [Disarm(Timer.CONTINUE), *self._body_idle]
        return actions

    def _response(self, event: Response) -> list[Action]:
        if self._request.websocket_key and 200 <= event.status < 300:
            # A page for every path, say. RFC 8441 5: to the client a 2xx would open the WebSocket.
            why = f"The app answered the request for a WebSocket with {event.status} instead of 101."
            return [_ABORT, *self._fail(FailureKind.BROKEN_ANSWER, why)]
        self.phase = Phase.ANSWERING
        terms = self._terms
        edited = forward_response(event, terms.policy, terms.edge, authority=self._request.authority)
        actions: list[Action] = [*self._cookies(event), SendClient(edited)]
        actions.append(_HEAD_HERE if self._request_done else Disarm(Timer.CONTINUE))
        return actions

    def _cookies(self, event: Response | InformationalResponse) -> tuple[ReportCookies, ...]:
        hosts = self._terms.policy.cookie_hosts
        above = domains_above(event.headers, self._request.authority, hosts) if hosts else ()
        return (ReportCookies(above),) if above else ()

    def _answered(self, event: EndOfMessage) -> list[Action]:
        self.phase = Phase.DONE
        # A request that is not yet whole leaves the connection out of step: it cannot serve another.
        return [SendClient(event), _RELEASE if self._request_done else _ABORT, _FINISHED]

    def _failed_before_answer(self, event: Reset | ConnectionClosed | Malformed) -> list[Action]:
        unseen = isinstance(event, ConnectionClosed) and event.unseen
        stale = self._reused and isinstance(event, ConnectionClosed) and not unseen
        if (self._repeatable if unseen else stale and self._retryable) and self._request_done:
            self._retryable = self._repeatable = False  # once
            self.phase = Phase.ACQUIRING
            # On a fresh connection only: the other idle ones may be as stale as this one.
            return [AbortUpstream(stale=stale), Disarm(Timer.RESPONSE_HEAD), Acquire(0.0)]
        if unseen and self._request.http_version == _HTTP_2 and self._request.body_length != 0:
            # The body is gone, but its client may have it still: gRPC and browsers send such a request again unasked.
            refused = Reset(event.stream_id, "The app refused the request.", _REFUSED_STREAM)
            return self._cut(refused, "refused the request")
        kind = FailureKind.BROKEN_ANSWER if isinstance(event, Malformed) else FailureKind.NO_ANSWER
        quiet = "The app refused the request." if unseen else "The app closed the connection before it answered."
        if isinstance(event, ConnectionClosed):
            summary = "refused the request" if unseen else "closed without an answer"
            return [AbortUpstream(stale=stale), *self._fail(kind, quiet, summary=summary)]
        # It names what was wrong, and the limit that can be raised.
        detail = event.summary if isinstance(event, Malformed) and event.summary else event.reason
        return [AbortUpstream(stale=stale), *self._fail(kind, detail, summary=summary_of(event))]

    # -- time -------------------------------------------------------------------------------------------------------

    def on_timer(self, timer: Timer) -> list[Action]:
        """A timer that was armed has run out."""
        match self.phase, timer:
            case Phase.WAITING, Timer.CONTINUE if self._may_wait_for_continue:
                # RFC 9110 10.1.1: an app that neither asks for the body nor refuses it may never have heard of Expect.
                self._may_wait_for_continue = False
                return [SendClient(InformationalResponse(self._request.stream_id, 100, [])), *self._body_idle]
            case Phase.WAITING, Timer.RESPONSE_HEAD:
                limit = self._terms.limits.response_head_timeout_s
                why = f"The app sent no answer for {limit:g} s."
                return [_ABORT, *self._fail(FailureKind.RESPONSE_TIMEOUT, why, summary=f"no answer within {limit:g} s")]
            case Phase.WAITING, Timer.REQUEST_BODY:
                limit = self._terms.limits.body_idle_timeout_s
                return [_ABORT, *self._fail(FailureKind.REQUEST_TIMEOUT, f"The client sent nothing for {limit:g} s.")]
            # The head is out: a 408 would come in the middle of the response.
            case Phase.ANSWERING, Timer.REQUEST_BODY:
                cut = Reset(self._request.stream_id, "The client stopped sending its request.")
                return self._cut(cut, as_phrase(cut.reason))
            case _:
                return []

    # -- the end ----------------------------------------------------------------------------------------------------

    def _fail(
        self, kind: FailureKind, detail: str, tried: tuple[tuple[str, str], ...] = (), summary: str = ""
    ) -> list[Action]:
        self.phase = Phase.DONE
        return [SendErrorPage(kind, detail, tried), Finish(complete=True, reason=summary or as_phrase(detail))]

    def _cut(self, cut: Reset, reason: str) -> list[Action]:
        return [SendClient(cut), *self._finish(_ABORT, reason)]

    def _finish(self, last: Action, reason: str) -> list[Action]:
        self.phase = Phase.DONE
        return [last, Finish(complete=False, reason=reason)]


def _cut(event: Reset | Malformed) -> Reset:
    return Reset(event.stream_id, event.reason)
