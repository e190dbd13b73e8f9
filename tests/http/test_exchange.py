"""The exchange's table, row by row: what is done for (phase, event), and what no order of events may bring about."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from devtls.http.events import (
    ClientEvent,
    ConnectionClosed,
    Data,
    EndOfMessage,
    Headers,
    InformationalResponse,
    Malformed,
    Request,
    Reset,
    Response,
    Trailers,
    TunnelData,
    UpstreamEvent,
)
from devtls.http.exchange import BY_TABLE, Exchange, Phase
from devtls.http.terms import Edge, ExchangeLimits, ForwardPolicy, Terms

LIMITS = ExchangeLimits(response_head_timeout_s=600.0, body_idle_timeout_s=60.0, continue_wait_s=1.0)
EDGE = Edge(b"127.0.0.1", b"https", 443, b"devtls-test")
TERMS = Terms(ForwardPolicy(), EDGE, LIMITS)
END = EndOfMessage(1)
SWITCH = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
PIECE = Data(1, b"piece")
BODY_IDLE = Arm(Timer.REQUEST_BODY, 60.0)
HEAD_WAIT = Arm(Timer.RESPONSE_HEAD, 600.0)
CONTINUE_WAIT = Arm(Timer.CONTINUE, 1.0)
ABORT, RELEASE = AbortUpstream(), ReleaseUpstream()


def request(
    method: bytes = b"GET", *, length: int | None = 0, expects: bool = False, via: bytes | None = None
) -> Request:
    headers = [] if via is None else [(b"Via", via)]
    return Request(1, method, b"/", b"app.dev.local", headers, length, expects_continue=expects)


def response(status: int = 200, length: int | None = 2) -> Response:
    return Response(1, status, [], b"OK", length)


def waiting(asked: Request | None = None, *, reused: bool = False, done: bool = True) -> Exchange:
    """An exchange whose request is sent (whole, if `done`)."""
    exchange = Exchange(TERMS)
    exchange.on_client(asked or request())
    if done:
        exchange.on_client(END)
    exchange.on_upstream(UpstreamReady(reused))
    return exchange


def answering(asked: Request | None = None, *, done: bool = True) -> Exchange:
    exchange = waiting(asked, done=done)
    exchange.on_upstream(response())
    return exchange


def kinds(actions: list[Action]) -> list[type]:
    return [type(action) for action in actions]


def sent_upstream(actions: list[Action]) -> list[Request | Data | Trailers | EndOfMessage]:
    return [action.event for action in actions if isinstance(action, SendUpstream)]


# -- beginning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "max_idle_s"),
    [
        (request(b"GET"), None),
        (request(b"HEAD"), None),
        (request(b"DELETE"), None),
        (request(b"PUT", length=5), 1.0),
        (request(b"GET", length=None), 1.0),
        (request(b"POST"), 1.0),
        (request(b"PATCH", length=5), 1.0),
    ],
)
def test_only_what_can_be_sent_twice_takes_a_connection_that_may_be_stale(
    asked: Request, max_idle_s: float | None
) -> None:
    exchange = Exchange(TERMS)
    assert exchange.on_client(asked) == [Acquire(max_idle_s)]
    assert exchange.phase is Phase.ACQUIRING


def test_a_request_that_went_round_five_times_is_answered_at_once() -> None:
    exchange = Exchange(TERMS)
    via = b", ".join([b"1.1 devtls-test"] * 5)
    actions = exchange.on_client(request(via=via))
    assert kinds(actions) == [SendErrorPage, Finish]
    assert isinstance(actions[0], SendErrorPage)
    assert actions[0].kind is FailureKind.LOOP
    assert exchange.phase is Phase.DONE


def test_nothing_happens_before_the_request() -> None:
    exchange = Exchange(TERMS)
    assert exchange.on_client(Reset(1, "gone")) == []
    assert exchange.on_upstream(UpstreamReady(False)) == []
    assert exchange.on_timer(Timer.CONTINUE) == []
    assert exchange.phase is Phase.START


def test_what_the_client_sends_while_dialling_follows_the_head_in_order() -> None:
    exchange = Exchange(TERMS)
    exchange.on_client(request(b"POST", length=None))
    trailers = Trailers(1, [(b"X-Sum", b"1"), (b"Host", b"evil")])
    for event in (PIECE, PIECE, trailers, END):
        assert exchange.on_client(event) == []
    actions = exchange.on_upstream(UpstreamReady(False))
    head, *rest = sent_upstream(actions)
    assert isinstance(head, Request)
    assert rest == [PIECE, PIECE, Trailers(1, [(b"X-Sum", b"1")]), END]
    assert actions[-1] == HEAD_WAIT


def test_a_bodyless_request_waits_for_the_answer_alone() -> None:
    exchange = Exchange(TERMS)
    exchange.on_client(request())
    exchange.on_client(END)
    actions = exchange.on_upstream(UpstreamReady(True))
    assert kinds(actions) == [SendUpstream, Arm]
    assert actions[-1] == HEAD_WAIT


def test_a_bodyless_request_on_a_pooled_connection_is_never_timed_for_its_body() -> None:
    # The pool answers within the Request event, before EndOfMessage: an armed body timer would cut slow answers.
    exchange = Exchange(TERMS)
    exchange.on_client(request())
    assert kinds(exchange.on_upstream(UpstreamReady(True))) == [SendUpstream, Arm]
    assert exchange.on_client(END) == []


def test_a_failed_dial_is_answered_with_every_address_that_was_tried() -> None:
    exchange = Exchange(TERMS)
    exchange.on_client(request())
    tried = (("127.0.0.1:1", "connection refused"), ("[::1]:1", "connection refused"))
    actions = exchange.on_upstream(DialFailed(tried))
    page = SendErrorPage(FailureKind.UNREACHABLE, "The app cannot be reached.", tried)
    assert actions == [page, Finish(True, DialFailed(tried).summary)]


def test_a_dial_that_took_too_long_is_another_failure() -> None:
    exchange = Exchange(TERMS)
    exchange.on_client(request())
    actions = exchange.on_upstream(DialFailed((), timed_out=True))
    assert isinstance(actions[0], SendErrorPage)
    assert actions[0].kind is FailureKind.CONNECT_TIMEOUT


# -- the request's body ----------------------------------------------------------------------------------------------


def test_each_piece_of_the_body_starts_its_clock_anew_and_the_end_stops_it() -> None:
    exchange = waiting(request(b"POST", length=10), done=False)
    assert exchange.on_client(PIECE) == [SendUpstream(PIECE), BODY_IDLE]
    assert exchange.on_client(END) == [SendUpstream(END), Disarm(Timer.REQUEST_BODY), HEAD_WAIT]


def test_a_body_that_ends_after_the_answer_began_starts_no_wait_for_a_head() -> None:
    exchange = answering(request(b"POST", length=10), done=False)
    assert exchange.on_client(PIECE) == [SendUpstream(PIECE), BODY_IDLE]
    assert exchange.on_client(END) == [SendUpstream(END), Disarm(Timer.REQUEST_BODY)]


def test_a_client_that_stops_sending_is_told_so() -> None:
    exchange = waiting(request(b"POST", length=10), done=False)
    actions = exchange.on_timer(Timer.REQUEST_BODY)
    assert kinds(actions) == [AbortUpstream, SendErrorPage, Finish]
    assert isinstance(actions[1], SendErrorPage)
    assert actions[1].kind is FailureKind.REQUEST_TIMEOUT


def test_a_client_that_stops_sending_after_the_answer_began_is_cut() -> None:
    exchange = answering(request(b"POST", length=10), done=False)
    actions = exchange.on_timer(Timer.REQUEST_BODY)
    assert kinds(actions) == [SendClient, AbortUpstream, Finish]
    assert actions[0] == SendClient(Reset(1, "The client stopped sending its request."))
    assert actions[2] == Finish(False, "the client stopped sending its request")


# -- Expect: 100-continue --------------------------------------------------------------------------------------------


def test_a_silent_app_gets_the_body_after_a_second() -> None:
    exchange = Exchange(TERMS)
    exchange.on_client(request(b"POST", length=5, expects=True))
    assert exchange.on_upstream(UpstreamReady(False))[-1] == CONTINUE_WAIT
    assert exchange.on_timer(Timer.CONTINUE) == [SendClient(InformationalResponse(1, 100, [])), BODY_IDLE]
    assert exchange.on_timer(Timer.CONTINUE) == []


def test_the_apps_own_100_stops_the_wait_and_starts_the_bodys_clock() -> None:
    exchange = waiting(request(b"POST", length=5, expects=True), done=False)
    actions = exchange.on_upstream(InformationalResponse(1, 100, []))
    assert kinds(actions) == [SendClient, Disarm, Arm]
    assert actions[1:] == [Disarm(Timer.CONTINUE), BODY_IDLE]
    assert kinds(exchange.on_upstream(InformationalResponse(1, 100, []))) == [SendClient]


def test_another_interim_answer_leaves_the_wait_alone() -> None:
    exchange = waiting(request(b"POST", length=5, expects=True), done=False)
    assert kinds(exchange.on_upstream(InformationalResponse(1, 103, []))) == [SendClient]
    assert kinds(exchange.on_timer(Timer.CONTINUE)) == [SendClient, Arm]


def test_a_client_that_does_not_wait_gets_no_100_from_us() -> None:
    exchange = waiting(request(b"POST", length=10, expects=True), done=False)
    assert exchange.on_client(PIECE) == [SendUpstream(PIECE), Disarm(Timer.CONTINUE), BODY_IDLE]
    assert exchange.on_timer(Timer.CONTINUE) == []


def test_a_request_that_ended_is_waited_for_no_longer() -> None:
    exchange = waiting(request(b"POST", length=None, expects=True), done=False)
    assert exchange.on_client(END) == [
        SendUpstream(END),
        Disarm(Timer.REQUEST_BODY),
        Disarm(Timer.CONTINUE),
        HEAD_WAIT,
    ]
    assert exchange.on_timer(Timer.CONTINUE) == []


def test_a_refusal_instead_of_100_reaches_the_client_at_once_and_costs_the_connection() -> None:
    exchange = waiting(request(b"POST", length=5, expects=True), done=False)
    actions = exchange.on_upstream(response(417, 0))
    assert kinds(actions) == [SendClient, Disarm]
    assert actions[1] == Disarm(Timer.CONTINUE)
    assert exchange.on_timer(Timer.CONTINUE) == []
    assert exchange.on_upstream(END) == [SendClient(END), ABORT, Finish(True)]


# -- the answer ------------------------------------------------------------------------------------------------------


def test_an_answer_flows_and_ends() -> None:
    exchange = waiting()
    actions = exchange.on_upstream(response())
    assert kinds(actions) == [SendClient, Disarm]
    assert actions[1] == Disarm(Timer.RESPONSE_HEAD)
    assert exchange.on_upstream(PIECE) == [SendClient(PIECE)]
    trailers = Trailers(1, [(b"X-Sum", b"1"), (b"Set-Cookie", b"a=b")])
    assert exchange.on_upstream(trailers) == [SendClient(Trailers(1, [(b"X-Sum", b"1")]))]
    assert exchange.on_upstream(END) == [SendClient(END), RELEASE, Finish(True)]
    assert exchange.phase is Phase.DONE


def test_an_answer_that_came_whole_is_the_same_in_one_step() -> None:
    exchange = waiting()
    head = Response(1, 200, [(b"Alt-Svc", b"h3"), (b"ETag", b"x")], b"OK", 5)
    edited = exchange.take_whole_response(head)
    assert edited is not None
    step = waiting()
    one_by_one = [action for event in (head, PIECE, END) for action in step.on_upstream(event)]
    assert one_by_one[0] == SendClient(edited)
    assert one_by_one[2:] == [SendClient(PIECE), SendClient(END), RELEASE, Finish(True)]
    assert exchange.phase is step.phase is Phase.DONE


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"BREW"])
def test_a_request_on_an_idle_connection_is_the_same_in_one_step(method: bytes) -> None:
    exchange, step = Exchange(TERMS), Exchange(TERMS)
    asked = request(method)
    max_idle_s = exchange.begin_on_idle(asked)
    assert step.on_client(asked) == [Acquire(max_idle_s)]
    sent, armed = step.on_upstream(UpstreamReady(True))
    assert sent == SendUpstream(exchange.send_on_idle(asked))
    assert armed == Arm(Timer.RESPONSE_HEAD, LIMITS.response_head_timeout_s)
    assert exchange.phase is step.phase is Phase.WAITING
    gone = ConnectionClosed(1)
    assert exchange.on_upstream(gone) == step.on_upstream(gone)


_NAMES = st.sampled_from([b"Accept", b"Via", b"Connection", b"Location", b"Content-Type", b"X-Forwarded-For", b"HSTS"])
_VALUES = st.sampled_from(
    [b"a", b"1.1 devtls-test", b"application/grpc", b"x-gone", b"http://app.dev.local/", b"close"]
)
_HEADERS = st.lists(st.tuples(_NAMES, _VALUES), max_size=8)
_REQUESTS = st.builds(
    Request,
    stream_id=st.just(1),
    method=st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"]),
    target=st.just(b"/"),
    authority=st.just(b"app.dev.local"),
    headers=_HEADERS,
    body_length=st.sampled_from([0, 0, 0, 5, None]),
    http_version=st.sampled_from([b"1.1", b"2.0"]),
    expects_continue=st.booleans(),
    upgrade=st.sampled_from([b"", b"", b"websocket"]),
    websocket_key=st.sampled_from([b"", b"", b"key"]),
)
_RESPONSES = st.builds(
    Response,
    stream_id=st.just(1),
    status=st.sampled_from([200, 204, 302, 403, 404, 500]),
    headers=_HEADERS,
    reason=st.just(b"OK"),
    body_length=st.sampled_from([5, None]),
)


def _state(exchange: Exchange) -> dict[str, object]:
    return {name: getattr(exchange, name, None) for name in Exchange.__slots__}


@given(asked=_REQUESTS, answered=_RESPONSES, done=st.booleans())
def test_the_short_ways_are_rows_of_the_table(asked: Request, answered: Response, done: bool) -> None:
    """Whatever a short way does for a message, the table does the same, down to each attribute."""
    short, table = Exchange(TERMS), Exchange(TERMS)
    max_idle_s = short.begin_on_idle(asked)
    if max_idle_s == BY_TABLE:
        short.on_client(asked)
        short.on_upstream(UpstreamReady(True))
    else:
        sent = short.send_on_idle(asked)
    begun, ready = table.on_client(asked), table.on_upstream(UpstreamReady(True))
    if max_idle_s != BY_TABLE:
        assert begun == [Acquire(max_idle_s)]
        assert ready == [SendUpstream(sent), HEAD_WAIT]
    assert _state(short) == _state(table)
    if done:
        short.on_client(END)
        table.on_client(END)
    before = _state(short)
    edited = short.take_whole_response(answered)
    if edited is None:
        assert _state(short) == before
        return
    actions = [action for event in (answered, PIECE, END) for action in table.on_upstream(event)]
    assert actions == [
        SendClient(edited),
        Disarm(Timer.RESPONSE_HEAD),
        SendClient(PIECE),
        SendClient(END),
        RELEASE,
        Finish(True),
    ]
    assert _state(short) == _state(table)


def test_a_request_with_a_body_or_in_a_loop_goes_through_the_table() -> None:
    assert Exchange(TERMS).begin_on_idle(request(b"POST", length=5)) == BY_TABLE
    assert Exchange(TERMS).begin_on_idle(request(b"POST", length=None)) == BY_TABLE
    looped = request(via=b", ".join([b"1.1 devtls-test"] * 5))
    assert Exchange(TERMS).begin_on_idle(looped) == BY_TABLE


@pytest.mark.parametrize(
    "make", [answering, lambda: waiting(request(b"POST", length=5), done=False), lambda: Exchange(TERMS)]
)
def test_an_answer_is_taken_whole_only_when_it_is_due(make: Callable[[], Exchange]) -> None:
    exchange = make()
    phase = exchange.phase
    assert exchange.take_whole_response(response()) is None
    assert exchange.phase is phase


def test_a_switch_of_protocols_opens_the_tunnel() -> None:
    asked = request()
    asked.upgrade = b"websocket"
    exchange = waiting(asked)
    actions = exchange.on_upstream(InformationalResponse(1, 101, SWITCH))
    assert kinds(actions) == [Disarm, SendClient, OpenTunnel]
    assert exchange.on_client(Reset(1, "gone")) == []
    assert exchange.on_upstream(ConnectionClosed(1)) == []
    assert exchange.on_timer(Timer.RESPONSE_HEAD) == []


def test_a_switch_that_is_no_websocket_is_a_broken_answer() -> None:
    actions = waiting().on_upstream(InformationalResponse(1, 101, SWITCH))
    assert kinds(actions) == [AbortUpstream, SendErrorPage, Finish]
    assert isinstance(actions[1], SendErrorPage)
    assert actions[1].kind is FailureKind.BROKEN_ANSWER


@pytest.mark.parametrize(("status", "refused"), [(200, False), (204, False), (403, True), (302, True)])
def test_only_a_101_opens_a_websocket_whose_client_would_take_any_2xx_for_one(status: int, refused: bool) -> None:
    asked = request()
    asked.upgrade, asked.websocket_key = b"websocket", b"a key of ours"
    exchange = waiting(asked)
    assert exchange.take_whole_response(response(status)) is None
    actions = exchange.on_upstream(response(status))
    assert kinds(actions) == ([SendClient, Disarm] if refused else [AbortUpstream, SendErrorPage, Finish])


def test_an_app_that_never_answers_is_given_up() -> None:
    actions = waiting().on_timer(Timer.RESPONSE_HEAD)
    assert actions == [
        ABORT,
        SendErrorPage(FailureKind.RESPONSE_TIMEOUT, "The app sent no answer for 600 s."),
        Finish(True, "no answer within 600 s"),
    ]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Malformed(1, 502, "broken"), FailureKind.BROKEN_ANSWER),
        (Reset(1, "cut"), FailureKind.NO_ANSWER),
        (ConnectionClosed(1), FailureKind.NO_ANSWER),
    ],
)
def test_a_failure_before_the_answer_is_explained(event: UpstreamEvent, kind: FailureKind) -> None:
    actions = waiting().on_upstream(event)
    assert kinds(actions) == [AbortUpstream, SendErrorPage, Finish]
    assert actions[0] == ABORT
    assert isinstance(actions[1], SendErrorPage)
    assert actions[1].kind is kind


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Malformed(1, 502, "The size of a chunk is not a hexadecimal number.", "bad chunk size"), "bad chunk size"),
        (Reset(1, "The connection to the app was lost."), "the connection to the app was lost"),
        (ConnectionClosed(1), "closed in the middle of the answer"),
    ],
)
def test_a_failure_within_the_answer_is_shown_as_a_cut(event: UpstreamEvent, reason: str) -> None:
    actions = answering().on_upstream(event)
    assert kinds(actions) == [SendClient, AbortUpstream, Finish]
    assert isinstance(actions[0], SendClient)
    assert isinstance(actions[0].event, Reset)
    assert actions[-1] == Finish(False, reason)


@pytest.mark.parametrize("event", [Reset(1, "gone"), ConnectionClosed(1)])
@pytest.mark.parametrize("exchange", [waiting, answering])
def test_a_client_that_is_gone_frees_the_app(exchange: Callable[[], Exchange], event: ClientEvent) -> None:
    assert exchange().on_client(event) == [ABORT, Finish(False, "the client left")]


@pytest.mark.parametrize("dialling", [True, False])
def test_a_request_that_turns_out_malformed_is_explained_as_long_as_no_response_has_begun(dialling: bool) -> None:
    exchange = Exchange(TERMS)
    exchange.on_client(request(b"POST", length=None))
    if not dialling:
        exchange.on_upstream(UpstreamReady(False))
    page = SendErrorPage(FailureKind.MALFORMED, "broken", status=400)
    assert exchange.on_client(Malformed(1, 400, "broken")) == [ABORT, page, Finish(True, "broken")]
    assert exchange.phase is Phase.DONE


def test_a_request_that_turns_out_malformed_behind_that_cuts_the_response() -> None:
    actions = answering().on_client(Malformed(1, 400, "broken"))
    assert actions == [SendClient(Reset(1, "broken")), ABORT, Finish(False, "bad request: broken")]


def test_it_says_its_phase() -> None:
    assert repr(answering()) == "<Exchange answering>"


def test_a_client_that_goes_while_dialling_stops_the_dial() -> None:
    exchange = Exchange(TERMS)
    exchange.on_client(request())
    assert exchange.on_client(Reset(1, "gone")) == [ABORT, Finish(False, "the client left")]
    assert exchange.on_upstream(UpstreamReady(False)) == []


# -- retries ---------------------------------------------------------------------------------------------------------


def test_a_stale_connection_is_replaced_by_a_fresh_one_once() -> None:
    exchange = waiting(reused=True)
    assert exchange.on_upstream(ConnectionClosed(1)) == [
        AbortUpstream(stale=True),
        Disarm(Timer.RESPONSE_HEAD),
        Acquire(0.0),
    ]
    again = exchange.on_upstream(UpstreamReady(False))
    assert isinstance(sent_upstream(again)[0], Request)
    assert again[1:] == [HEAD_WAIT]
    assert kinds(exchange.on_upstream(ConnectionClosed(1))) == [AbortUpstream, SendErrorPage, Finish]


def test_a_request_that_the_app_says_it_has_not_seen_is_sent_again_whatever_its_method() -> None:
    """RFC 9113 8.7; also on a fresh connection, and once only."""
    exchange = waiting(request(b"POST"))
    assert exchange.on_upstream(ConnectionClosed(1, unseen=True)) == [
        AbortUpstream(stale=False),
        Disarm(Timer.RESPONSE_HEAD),
        Acquire(0.0),
    ]
    exchange.on_upstream(UpstreamReady(reused=False))
    actions = exchange.on_upstream(ConnectionClosed(1, unseen=True))
    assert actions[1] == SendErrorPage(FailureKind.NO_ANSWER, "The app refused the request.", ())


def test_a_body_that_is_gone_cannot_be_sent_again_though_the_app_has_not_seen_it() -> None:
    exchange = waiting(request(b"POST", length=5), done=False)
    exchange.on_client(PIECE)
    exchange.on_client(END)
    assert kinds(exchange.on_upstream(ConnectionClosed(1, unseen=True))) == [AbortUpstream, SendErrorPage, Finish]


def test_a_client_with_http_2_is_told_that_it_may_send_its_body_again() -> None:
    """RFC 9113 8.7: gRPC and browsers do so without asking anybody."""
    asked = request(b"POST", length=5)
    asked.http_version = b"2.0"
    exchange = waiting(asked, done=False)
    exchange.on_client(PIECE)
    refused = SendClient(Reset(1, "The app refused the request.", 7))
    assert exchange.on_upstream(ConnectionClosed(1, unseen=True)) == [
        refused,
        ABORT,
        Finish(complete=False, reason="refused the request"),
    ]


@pytest.mark.parametrize(("code", "passed"), [(7, 7), (8, 8), (11, 11), (0, 2)])
def test_a_cut_answer_keeps_the_apps_code_unless_it_says_that_all_is_well(code: int, passed: int) -> None:
    assert answering().on_upstream(Reset(1, "cut", code))[0] == SendClient(Reset(1, "cut", passed))


@pytest.mark.parametrize("content_type", [b"application/grpc", b"application/grpc+proto", b"Application/gRPC-web"])
def test_a_call_of_grpc_may_be_silent_for_hours(content_type: bytes) -> None:
    asked = request(b"POST", length=None)
    asked.headers.append((b"content-type", content_type))
    exchange = Exchange(TERMS)
    exchange.on_client(asked)
    assert kinds(exchange.on_upstream(UpstreamReady(reused=False))) == [SendUpstream]
    assert exchange.on_client(PIECE) == [SendUpstream(PIECE)]
    exchange.on_upstream(response(length=None))
    assert exchange.on_client(PIECE) == [SendUpstream(PIECE)]


@pytest.mark.parametrize(
    "asked",
    [request(b"POST"), request(b"PATCH"), request(b"PUT", length=5), request(b"GET", length=None), request(b"BREW")],
)
def test_what_may_not_be_sent_twice_is_not_but_the_stale_connection_is_noted(asked: Request) -> None:
    actions = waiting(asked, reused=True).on_upstream(ConnectionClosed(1))
    assert kinds(actions) == [AbortUpstream, SendErrorPage, Finish]
    assert actions[0] == AbortUpstream(stale=True)


def test_a_failed_retry_to_dial_is_answered() -> None:
    exchange = waiting(reused=True)
    exchange.on_upstream(ConnectionClosed(1))
    assert kinds(exchange.on_upstream(DialFailed(()))) == [SendErrorPage, Finish]


@pytest.mark.parametrize("event", [Reset(1, "within the head"), Malformed(1, 502, "no HTTP")])
def test_an_answer_that_had_begun_is_never_asked_for_again(event: UpstreamEvent) -> None:
    actions = waiting(reused=True).on_upstream(event)
    assert actions[0] == AbortUpstream(stale=False)
    assert kinds(actions) == [AbortUpstream, SendErrorPage, Finish]


def test_an_interim_answer_forbids_the_retry() -> None:
    exchange = waiting(reused=True)
    exchange.on_upstream(InformationalResponse(1, 103, []))
    assert kinds(exchange.on_upstream(ConnectionClosed(1))) == [AbortUpstream, SendErrorPage, Finish]


# -- every order of events -------------------------------------------------------------------------------------------

_CLIENT = st.sampled_from([PIECE, Trailers(1, []), END, Reset(1, "x"), Malformed(1, 400, "x"), ConnectionClosed(1)])
_UPSTREAM = st.sampled_from(
    [
        UpstreamReady(False),
        UpstreamReady(True),
        DialFailed(()),
        InformationalResponse(1, 100, []),
        InformationalResponse(1, 103, []),
        InformationalResponse(1, 101, SWITCH),
        response(),
        PIECE,
        Trailers(1, []),
        END,
        Reset(1, "x"),
        Malformed(1, 502, "x"),
        ConnectionClosed(1),
        TunnelData(1, b"x"),
    ]
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("client"), _CLIENT),
        st.tuples(st.just("upstream"), _UPSTREAM),
        st.tuples(st.just("timer"), st.sampled_from(Timer)),
    ),
    max_size=30,
)
_REQUESTS = st.builds(
    request,
    st.sampled_from([b"GET", b"POST", b"PUT", b"BREW"]),
    length=st.sampled_from([0, 5, None]),
    expects=st.booleans(),
)


def play(asked: Request, steps: list[tuple[str, object]]) -> tuple[Exchange, list[Action]]:
    """Return the exchange and all its actions; at the end the client goes away."""
    exchange = Exchange(TERMS)
    actions = exchange.on_client(asked)
    for side, event in [*steps, ("client", Reset(1, "gone"))]:
        done = exchange.phase in (Phase.DONE, Phase.TUNNEL)
        step = getattr(exchange, f"on_{side}")(event)
        assert not (done and step), "it acted after its end"
        actions += step
    return exchange, actions


@given(_REQUESTS, _STEPS)
def test_any_order_of_events_ends_exactly_once(asked: Request, steps: list[tuple[str, object]]) -> None:
    exchange, actions = play(asked, steps)
    ends = [action for action in actions if isinstance(action, Finish | OpenTunnel)]
    assert len(ends) == 1
    assert actions[-1] is ends[0]
    assert exchange.phase is (Phase.TUNNEL if isinstance(ends[0], OpenTunnel) else Phase.DONE)


@given(_REQUESTS, _STEPS)
def test_no_order_of_events_retries_twice_or_after_a_byte(asked: Request, steps: list[tuple[str, object]]) -> None:
    _, actions = play(asked, steps)
    tries = [index for index, action in enumerate(actions) if isinstance(action, Acquire)]
    assert len(tries) <= 2
    if len(tries) == 2:
        before = actions[: tries[1]]
        assert asked.body_length == 0
        assert not any(isinstance(action, SendClient) for action in before)


@given(_REQUESTS, _STEPS)
def test_the_client_gets_one_final_answer_at_most(asked: Request, steps: list[tuple[str, object]]) -> None:
    _, actions = play(asked, steps)
    heads = [
        action
        for action in actions
        if isinstance(action, SendErrorPage) or (isinstance(action, SendClient) and isinstance(action.event, Response))
    ]
    assert len(heads) <= 1
    for before, after in pairwise(actions):
        assert not (isinstance(before, SendErrorPage) and not isinstance(after, Finish))


@given(_REQUESTS, _STEPS)
def test_what_is_taken_from_the_pool_is_given_back(asked: Request, steps: list[tuple[str, object]]) -> None:
    _, actions = play(asked, steps)
    if isinstance(actions[-1], OpenTunnel):
        return
    held = False
    for action in actions:
        match action:
            case SendUpstream(Request()):
                assert not held
                held = True
            case AbortUpstream() | ReleaseUpstream():
                held = False
            case _:
                ...
    assert not held


# -- an app that restarts ----------------------------------------------------------------------------------------------


REFUSED = (("127.0.0.1:3000", "connection refused"), ("[::1]:3000", "connection refused"))
RESTARTING = DialFailed(REFUSED, refused=True, restarting=True)


def acquiring(asked: Request, retry_down_s: float = 2.0) -> Exchange:
    exchange = Exchange(Terms(TERMS.policy, TERMS.edge, TERMS.limits, retry_down_s))
    exchange.on_client(asked)
    return exchange


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PATCH"])
def test_a_request_waits_once_for_an_app_that_restarts_whatever_its_method(method: bytes) -> None:
    exchange = acquiring(request(method))
    assert exchange.on_upstream(RESTARTING) == [AwaitRestart(2.0, RESTARTING)]
    page = SendErrorPage(FailureKind.UNREACHABLE, "The app cannot be reached.", REFUSED)
    assert exchange.on_upstream(RESTARTING) == [page, Finish(True, "connection refused, for 2 s")]


def test_a_body_that_came_meanwhile_is_sent_when_the_app_is_back() -> None:
    exchange = acquiring(request(b"POST", length=5))
    exchange.on_upstream(RESTARTING)
    assert exchange.on_client(PIECE) == []
    assert exchange.on_client(END) == []
    sent = sent_upstream(exchange.on_upstream(UpstreamReady(False)))
    assert isinstance(sent[0], Request)
    assert sent[1:] == [PIECE, END]


def test_a_client_that_leaves_meanwhile_ends_the_wait() -> None:
    exchange = acquiring(request())
    exchange.on_upstream(RESTARTING)
    assert exchange.on_client(ConnectionClosed(1)) == [ABORT, Finish(False, "the client left")]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Sec-Fetch-Mode", b"navigate")],
        [(b"Accept", b"text/html,application/xhtml+xml,*/*;q=0.8")],
        [(b"devtls-poll", b"1"), (b"Sec-Fetch-Mode", b"cors")],
    ],
)
def test_a_page_that_is_opened_gets_its_explanation_at_once(headers: Headers) -> None:
    asked = request()
    asked.headers = headers
    assert kinds(acquiring(asked).on_upstream(RESTARTING)) == [SendErrorPage, Finish]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        (b"GET", [(b"Sec-Fetch-Mode", b"cors"), (b"Accept", b"text/html")]),
        (b"GET", [(b"Sec-Fetch-Mode", b"websocket")]),
        (b"POST", [(b"Accept", b"text/html")]),
        (b"GET", [(b"Accept", b"*/*")]),
    ],
)
def test_everything_else_waits(method: bytes, headers: Headers) -> None:
    asked = request(method)
    asked.headers = headers
    assert kinds(acquiring(asked).on_upstream(RESTARTING)) == [AwaitRestart]


@pytest.mark.parametrize(
    ("failed", "retry_down_s"),
    [
        (RESTARTING, 0.0),
        (DialFailed(REFUSED, refused=True), 2.0),
        (DialFailed(REFUSED, timed_out=True), 2.0),
    ],
)
def test_nobody_waits_for_an_app_that_was_not_there_or_where_that_is_off(
    failed: DialFailed, retry_down_s: float
) -> None:
    assert kinds(acquiring(request(), retry_down_s).on_upstream(failed)) == [SendErrorPage, Finish]


def test_equal_errors_of_addresses_come_once_into_the_log() -> None:
    assert DialFailed(REFUSED).summary == "connection refused"
    assert DialFailed((*REFUSED, ("app", "no answer within 5 s"))).summary == "connection refused, no answer within 5 s"
    assert DialFailed(()).summary == "no address"


def test_an_answer_that_the_client_does_not_take_becomes_a_page_with_the_reason() -> None:
    exchange = answering()
    page = SendErrorPage(FailureKind.BROKEN_ANSWER, "head of 9 bytes, of which this client takes 8")
    assert exchange.refuse_answer(page.detail) == [ABORT, page, Finish(True, page.detail)]
    assert exchange.on_upstream(PIECE) == []


# -- cookies that reach above the route --------------------------------------------------------------------------------


def stripping() -> Exchange:
    terms = Terms(ForwardPolicy(cookie_hosts=(b"app.dev.local",)), TERMS.edge, TERMS.limits)
    exchange = Exchange(terms)
    exchange.on_client(Request(1, b"GET", b"/", b"app.dev.local", [], 0))
    exchange.on_upstream(UpstreamReady(False))
    return exchange


def test_a_cookie_that_reaches_above_the_route_is_reported_before_the_answer_goes_out() -> None:
    answered = Response(1, 200, [(b"Set-Cookie", b"sid=1; Domain=dev.local; Path=/")], b"OK", 0)
    assert stripping().take_whole_response(answered) is None
    report, sent, _ = stripping().on_upstream(answered)
    assert report == ReportCookies((("sid", "dev.local"),))
    assert isinstance(sent, SendClient)
    assert isinstance(sent.event, Response)
    assert sent.event.headers[0] == (b"Set-Cookie", b"sid=1; Path=/")


def test_an_interim_response_can_set_cookies_too() -> None:
    hint = InformationalResponse(1, 103, [(b"Set-Cookie", b"sid=1; Domain=dev.local")])
    report, sent = stripping().on_upstream(hint)
    assert report == ReportCookies((("sid", "dev.local"),))
    assert isinstance(sent, SendClient)
    assert isinstance(sent.event, InformationalResponse)
    assert (b"Set-Cookie", b"sid=1") in sent.event.headers


def test_other_cookies_are_not_reported() -> None:
    answered = Response(1, 200, [(b"Set-Cookie", b"sid=1; Path=/")], b"OK", 0)
    assert kinds(stripping().on_upstream(answered)) == [SendClient, Disarm]
