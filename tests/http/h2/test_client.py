from __future__ import annotations

import pytest

from devtls.errors import HeadTooLarge, LocalProtocolError
from devtls.http.events import (
    Data,
    EndOfMessage,
    InformationalResponse,
    Malformed,
    RememberedHeaders,
    Request,
    Reset,
    Response,
    Trailers,
)
from devtls.http.h1.head import HeadLimits
from devtls.http.h2 import frames
from devtls.http.h2.client import H2ClientCodec
from devtls.http.h2.frames import ErrorCode
from devtls.http.h2.limits import H2Limits
from tests.http.h2.wire import (
    CONNECT,
    GET,
    OK,
    POST,
    SECRET,
    Frame,
    block,
    code_of,
    codes,
    data,
    frame,
    headers,
    integer,
    opened_server,
    parse,
    rst_stream,
    sent,
    settings,
    string,
)


def test_a_request_behind_the_last_one_is_ignored_with_its_body() -> None:
    server = opened_server()
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    server.announce_end()
    server.end()
    sent(server)
    assert server.receive_data(headers(3, POST, end_stream=False) + data(3, b"body", end_stream=True), 0.0) == []
    assert not server.broken
    assert codes(server) == []
    assert server.receive_data(data(1, b"more"), 0.0) == [Data(1, b"more")]


def test_a_fault_behind_the_last_request_does_not_raise_its_number() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.end()
    server.receive_data(headers(3, GET) + data(0), 0.0)
    assert [int.from_bytes(found.payload[:4]) for found in sent(server) if found.kind == frames.GOAWAY] == [1, 1]


# -- the beginning ----------------------------------------------------------------------------------------------------


def test_our_settings_go_first() -> None:
    limits = H2Limits(head=HeadLimits(max_head_bytes=9_000), window_bytes=100_000, max_streams=7)
    first, update = sent(H2ClientCodec(limits, SECRET))
    assert (first.kind, dict(frames.parse_settings(first.payload))) == (
        frames.SETTINGS,
        {
            frames.SETTINGS_INITIAL_WINDOW_SIZE: 100_000,
            frames.SETTINGS_MAX_CONCURRENT_STREAMS: 7,
            frames.SETTINGS_MAX_HEADER_LIST_SIZE: 9_000,
            frames.SETTINGS_ENABLE_CONNECT_PROTOCOL: 1,
        },
    )
    assert update == Frame(frames.WINDOW_UPDATE, 0, 0, (700_000 - 65_535).to_bytes(4))
    assert len(sent(H2ClientCodec(H2Limits(window_bytes=1, max_streams=1), SECRET))) == 1


def test_the_preface_is_awaited() -> None:
    server = H2ClientCodec(H2Limits(), SECRET)
    assert server.awaits_preface
    assert server.receive_data(frames.PREFACE[:10], 0.0) == []
    assert server.awaits_preface
    server.receive_data(frames.PREFACE[10:], 0.0)
    assert not server.awaits_preface


def test_another_beginning_is_refused_at_its_first_byte() -> None:
    server = H2ClientCodec(H2Limits(), SECRET)
    server.receive_data(b"P", 0.0)
    (event,) = server.receive_data(b"O", 0.0)
    assert isinstance(event, Malformed)
    assert codes(server) == [(0, ErrorCode.PROTOCOL_ERROR)]
    assert server.receive_data(b"ST", 0.0) == []


# -- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_without_a_body_ends_with_its_head() -> None:
    server = opened_server()
    assert server.receive_data(headers(1, GET), 0.0) == [
        Request(1, b"GET", b"/", b"a.test", [], 0, b"2.0"),
        EndOfMessage(1),
    ]
    assert not server._streams[1].peer_open


def test_a_request_that_is_not_served_is_to_be_answered() -> None:
    server = opened_server()
    events = server.receive_data(headers(1, [*GET, (b"expect", b"x")]), 0.0)
    assert [type(event) for event in events] == [Malformed, EndOfMessage]
    assert isinstance(events[0], Malformed)
    assert (events[0].stream_id, events[0].status) == (1, 417)
    server.send(Response(1, 417, []))
    server.send(EndOfMessage(1))
    assert server.open_streams == 0


@pytest.mark.parametrize("fields", [[*GET, (b"a", b"x" * 9_000)], [*GET, *[(b"a", b"")] * 9]])
def test_a_head_over_its_limits_is_answered_and_its_body_awaited_by_nobody(fields: list[tuple[bytes, bytes]]) -> None:
    server = opened_server(H2Limits(head=HeadLimits(max_head_bytes=9_000, max_fields=12)))
    (event,) = server.receive_data(headers(1, fields, end_stream=False), 0.0)
    assert isinstance(event, Malformed)
    assert (event.stream_id, event.status) == (1, 431)
    server.send(Response(1, 431, []))
    server.send(EndOfMessage(1))
    assert server.receive_data(data(1, b"body"), 0.0) == []
    assert server.receive_data(data(1, end_stream=True), 0.0) == [EndOfMessage(1)]
    assert server.open_streams == 0
    assert isinstance(server.receive_data(headers(3, GET), 0.0)[0], Request)


def test_a_bomb_of_references_is_answered_with_431() -> None:
    server = opened_server()
    bomb = block(GET) + b"\x40" + string(b"n") + string(b"x" * 4_000)
    server.receive_data(frame(frames.HEADERS, 5, 1, bomb), 0.0)
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    events = server.receive_data(frame(frames.HEADERS, 5, 3, integer(62, 7, 0x80) * 16_000), 0.0)
    assert isinstance(events[0], Malformed)
    assert events[0].status == 431


def test_a_malformed_request_resets_its_stream_and_no_other() -> None:
    server = opened_server()
    events = server.receive_data(headers(1, GET) + headers(3, [*GET, (b"A", b"b")]) + headers(5, GET), 0.0)
    assert [event.stream_id for event in events] == [1, 1, 5, 5]
    assert codes(server) == [(3, ErrorCode.PROTOCOL_ERROR)]


def test_a_block_that_comes_again_stands_for_the_same_request() -> None:
    server = opened_server()
    fields = [*GET, (b"accept", b"*/*")]
    requests = [server.receive_data(headers(number, fields), 0.0)[0] for number in (1, 3, 5, 7)]
    lists = [request.headers for request in requests if isinstance(request, Request)]
    assert lists == [[(b"accept", b"*/*")]] * 4
    assert [type(one) for one in lists] == [list, RememberedHeaders, RememberedHeaders, RememberedHeaders]
    assert lists[1] is lists[2] is lists[3]
    assert [request.stream_id for request in requests] == [1, 3, 5, 7]


def test_a_block_means_something_else_when_the_table_has_changed() -> None:
    server = opened_server()

    def ask(number: int, field_block: bytes, flags: int = 5) -> object:
        event = server.receive_data(frame(frames.HEADERS, flags, number, field_block), 0.0)[0]
        server.reset(number)
        server.release(number)
        return event.headers if isinstance(event, Request) else event

    ask(1, block(GET) + b"\x40" + string(b"a") + string(b"1"))
    again = block(GET) + b"\xbe"
    assert [ask(number, again) for number in (3, 5, 7)] == [[(b"a", b"1")]] * 3
    ask(9, block(GET) + b"\x40" + string(b"a") + string(b"2"))
    assert ask(11, again) == [(b"a", b"2")]


def test_a_block_with_a_body_behind_it_is_not_the_one_without() -> None:
    server = opened_server()
    for number in (1, 3, 5):
        server.receive_data(headers(number, POST), 0.0)
    (request,) = server.receive_data(headers(7, POST, end_stream=False), 0.0)
    assert isinstance(request, Request)
    assert request.body_length is None
    assert server._streams[7].peer_open


def test_what_is_remembered_of_blocks_is_bounded() -> None:
    server = opened_server()
    number = 1
    for value in range(100):
        for _ in range(2):
            server.receive_data(headers(number, [*GET, (b"a", b"%d" % value)]), 0.0)
            server.send(Response(number, 204, []))
            server.send(EndOfMessage(number))
            number += 2
    for _ in range(3):
        server.receive_data(headers(number, [*GET, (b"a", b"x" * 5_000)]), 0.0)
        server.send(Response(number, 204, []))
        server.send(EndOfMessage(number))
        number += 2
    for value in range(100):
        server.receive_data(headers(number, [*GET, (b"b", b"%d" % value)]), 0.0)
        server.send(Response(number, 204, []))
        server.send(EndOfMessage(number))
        number += 2
    assert 0 < len(server._known) <= 32
    assert 0 < len(server._seen) <= 32
    assert max(map(len, server._known)) < 4_096


# -- limits -----------------------------------------------------------------------------------------------------------


def test_streams_beyond_the_limit_are_refused() -> None:
    server = opened_server(H2Limits(max_streams=2))
    events = server.receive_data(headers(1, GET) + headers(3, GET) + headers(5, GET), 0.0)
    assert [event.stream_id for event in events] == [1, 1, 3, 3]
    assert codes(server) == [(5, ErrorCode.REFUSED_STREAM)]
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    assert len(server.receive_data(headers(7, GET), 0.0)) == 2


def test_an_aborted_stream_counts_until_its_upstream_has_ended() -> None:
    server = opened_server(H2Limits(max_streams=1))
    assert server.receive_data(headers(1, GET) + rst_stream(1), 0.0)[2:] == [
        Reset(1, "The peer ended the stream: CANCEL.", ErrorCode.CANCEL)
    ]
    assert server.open_streams == 0
    server.receive_data(headers(3, GET), 0.0)
    assert codes(server) == [(3, ErrorCode.REFUSED_STREAM)]
    server.release(1)
    assert isinstance(server.receive_data(headers(5, GET), 0.0)[0], Request)


def test_an_answered_stream_counts_no_longer_however_it_ended() -> None:
    server = opened_server(H2Limits(max_streams=1))
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    server.receive_data(rst_stream(1), 0.0)
    assert isinstance(server.receive_data(headers(3, GET), 0.0)[0], Request)


def test_the_end_of_a_tunnel_that_was_answered_in_full_costs_no_reset() -> None:
    server = opened_server()
    for number in range(1, 2_401, 2):
        server.receive_data(headers(number, CONNECT, end_stream=False), 0.0)
        server.send(InformationalResponse(number, 101, []))
        server.send(EndOfMessage(number))
        server.receive_data(rst_stream(number), 0.0)
        server.data_to_send()
    assert not server.broken


def test_a_client_that_resets_as_fast_as_it_asks_is_disconnected() -> None:
    server = opened_server()
    for number in range(1, 401, 2):
        server.receive_data(headers(number, GET) + rst_stream(number), 0.0)
        server.release(number)
    assert not server.broken
    events = server.receive_data(headers(401, GET) + rst_stream(401), 0.0)
    assert [type(event) for event in events] == [Request, EndOfMessage, Reset, Malformed]
    assert codes(server) == [(0, ErrorCode.ENHANCE_YOUR_CALM)]


def test_a_client_that_resets_all_at_once_is_disconnected_though_most_streams_were_refused() -> None:
    server = opened_server()
    server.receive_data(b"".join(headers(number, GET) + rst_stream(number) for number in range(1, 403, 2)), 0.0)
    assert codes(server)[-1] == (0, ErrorCode.ENHANCE_YOUR_CALM)


def test_a_stream_that_lived_for_a_second_may_be_cancelled() -> None:
    server = opened_server()
    for turn in range(4):
        numbers = range(200 * turn + 1, 200 * turn + 201, 2)
        server.receive_data(b"".join(headers(number, GET) for number in numbers), 2.0 * turn)
        server.receive_data(b"".join(map(rst_stream, numbers)), 2.0 * turn + 1.0)
        for number in numbers:
            server.release(number)
    assert codes(server) == []


def test_uploads_that_are_cancelled_are_no_rapid_resets() -> None:
    server = opened_server()
    for number in range(1, 1_001, 2):
        server.receive_data(headers(number, POST, end_stream=False), 0.0)
        server.pause_reading(number)  # the app does not read
        for _ in range(4):
            server.receive_data(data(number, bytes(16_384)), 0.0)
        server.receive_data(rst_stream(number), 0.0)
        server.release(number)
        server.data_to_send()
    assert not server.broken


def test_each_request_that_is_answered_makes_up_for_one_that_is_cancelled() -> None:
    server = opened_server()
    for number in range(1, 4_001, 4):
        server.receive_data(headers(number, GET) + headers(number + 2, GET) + rst_stream(number), 0.0)
        server.release(number)
        server.send(Response(number + 2, 204, []))
        server.send(EndOfMessage(number + 2))
        server.data_to_send()
    assert not server.broken


def test_a_stream_that_depends_on_itself_is_an_error_of_that_stream() -> None:
    """RFC 7540 5.3.1, in a head, in trailers, and however its block is cut."""
    priority = frames.PRIORITISED | frames.END_HEADERS
    server = opened_server()
    own = frame(frames.HEADERS, priority | frames.END_STREAM, 1, b"\0\0\0\1\x10" + block(GET))
    own += frame(frames.HEADERS, frames.PRIORITISED, 3, b"\x80\0\0\3\x10" + block(GET))
    own += frame(frames.CONTINUATION, frames.END_HEADERS, 3)
    own += headers(5, POST, end_stream=False)
    own += frame(frames.HEADERS, priority | frames.END_STREAM, 5, b"\0\0\0\5\x10" + block([(b"a", b"b")]))
    events = server.receive_data(own + headers(7, GET), 0.0)
    assert codes(server) == [(number, ErrorCode.PROTOCOL_ERROR) for number in (1, 3, 5)]
    assert [(type(event), event.stream_id) for event in events] == [
        (Request, 5),
        (Reset, 5),
        (Request, 7),
        (EndOfMessage, 7),
    ]


def test_requests_behind_the_end_of_the_connection_are_not_read_for_ever() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.end()
    for number in range(3, 3_003, 2):
        server.receive_data(headers(number, GET), 0.0)
    assert codes(server)[-1] == (0, ErrorCode.ENHANCE_YOUR_CALM)


def test_raw_utf_8_in_a_path_is_percent_encoded_and_the_table_counts_what_was_sent() -> None:
    server = opened_server()
    path = "/käse/日本?q=ü".encode()
    literal = b"\x44" + bytes((len(path),)) + path  # literal with incremental indexing, name 4 (:path)
    rest = block([field for field in GET if field[0] != b":path"])
    first = frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, rest + literal)
    again = frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 3, rest + b"\xbe")
    requests = [event for event in server.receive_data(first + again, 0.0) if isinstance(event, Request)]
    assert [request.target for request in requests] == [b"/k%C3%A4se/%E6%97%A5%E6%9C%AC?q=%C3%BC"] * 2
    assert server._decoder._dynamic_bytes == len(b":path") + len(path) + 32


def test_three_reloads_of_a_page_of_600_modules_are_no_attack() -> None:
    server = opened_server()
    number = 1
    for _ in range(3):
        for batch in (88, 128, 128, 128, 128):
            for one in list(server._streams):
                server.send(Response(one, 204, []))
                server.send(EndOfMessage(one))
            asked = range(number, number + 2 * batch, 2)
            number += 2 * batch
            server.receive_data(b"".join(headers(one, GET) for one in asked), 0.0)
        # a reload takes back what is open: no more than may be open at once
        waiting = list(server._streams)
        assert len(waiting) == 128
        server.receive_data(b"".join(map(rst_stream, waiting)), 0.0)
        for one in waiting:
            server.release(one)
    assert codes(server) == []


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "ends"),
    [
        (0, [(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM)]),
        (None, [(frames.HEADERS, frames.END_HEADERS), (frames.DATA, frames.END_STREAM)]),
    ],
    ids=["trailers only, 204, 304, HEAD", "an empty DATA"],
)
def test_an_answer_ends_where_the_apps_did(length: int | None, ends: list[tuple[int, int]]) -> None:
    """gRPC tells the two apart: HEADERS that end their stream are trailers."""
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [(b"grpc-status", b"0")], body_length=length))
    server.send(EndOfMessage(1))
    assert [(found.kind, found.flags) for found in sent(server)] == ends


def test_an_answer_is_sent() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.send(InformationalResponse(1, 103, [(b"Link", b"a")]))
    server.send(Response(1, 200, [(b"Content-Length", b"4")], body_length=4))
    server.send(Data(1, b"body"))
    server.send(EndOfMessage(1))
    found = sent(server)
    assert [(one.kind, one.flags) for one in found] == [(1, 4), (1, 4), (0, 1)]
    assert server.open_streams == 0


def test_an_answer_without_a_body_ends_with_its_head_when_nothing_comes_between() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET) + headers(3, GET), 0.0)
    for number in (1, 3):
        server.send(Response(number, 304, []))
        server.send(EndOfMessage(number))
    assert [(one.kind, one.flags, one.stream_id) for one in sent(server)] == [(1, 5, 1), (1, 5, 3)]


def test_an_answer_without_a_body_is_open_until_its_end_which_may_be_trailers() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [(b"Content-Length", b"0")]))
    assert [(one.kind, one.flags) for one in sent(server)] == [(1, 4)]
    assert server.open_streams == 1
    server.send(Trailers(1, [(b"a", b"b")]))
    assert [(one.kind, one.flags) for one in sent(server)] == [(1, 5)]
    assert server.open_streams == 0


def test_a_whole_answer_is_sent_at_once() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    assert not server.send_whole(Response(1, 200, [], body_length=4), Data(1, b"body"))
    assert [(one.kind, one.flags) for one in sent(server)] == [(1, 4), (0, 1)]
    assert not server.send_whole(Response(1, 200, [], body_length=4), Data(1, b"body"))
    assert sent(server) == []


def test_a_whole_answer_that_does_not_go_at_once_says_so() -> None:
    server = opened_server(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    server.receive_data(headers(1, GET), 0.0)
    assert server.send_whole(Response(1, 200, [], body_length=70_000), Data(1, bytes(70_000)))


def test_a_request_has_one_answer() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [], body_length=None))
    with pytest.raises(LocalProtocolError):
        server.send(Response(1, 200, [], body_length=None))


def test_an_answer_can_be_cut() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [], body_length=None))
    server.send(Reset(1, "cut", ErrorCode.INTERNAL_ERROR))
    assert codes(server) == [(1, ErrorCode.INTERNAL_ERROR)]
    assert not server.send(Data(1, b"more"))


def answered_early(limits: H2Limits | None = None) -> H2ClientCodec:
    server = opened_server(limits)
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    server.send(Response(1, 413, [], body_length=None))
    server.send(Trailers(1, [(b"a", b"b")]))
    assert codes(server) == []
    return server


def test_an_upload_behind_its_answer_is_read_away_until_it_is_silent() -> None:
    server = answered_early()
    assert server.waits
    assert server.receive_data(data(1, b"late"), 1.0) == []
    assert server.tick(2.9) == []
    assert codes(server) == []
    server.tick(3.0)
    assert codes(server) == [(1, ErrorCode.NO_ERROR)]
    assert server.receive_data(data(1, b"later"), 3.0) == []
    assert (server.open_streams, server.waits, server.broken) == (0, False, False)


def test_an_upload_that_was_never_heard_of_again_is_given_the_same_time() -> None:
    server = answered_early()
    server.tick(50.0)
    server.tick(51.9)
    assert codes(server) == []
    server.tick(52.0)
    assert codes(server) == [(1, ErrorCode.NO_ERROR)]


def test_no_more_of_an_upload_is_read_away_than_was_agreed() -> None:
    server = answered_early(H2Limits(max_drain_bytes=10))
    server.receive_data(data(1, b"x" * 10), 0.0)
    assert codes(server) == []
    server.receive_data(data(1, b"x"), 0.0)
    assert codes(server) == [(1, ErrorCode.NO_ERROR)]


def test_an_upload_that_was_held_back_is_read_away_all_the_same() -> None:
    server = opened_server(H2Limits(window_bytes=65_536))
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    server.pause_reading(1)
    server.receive_data(data(1, bytes(16_384)) * 4, 0.0)
    server.send(Response(1, 413, []))
    server.send(EndOfMessage(1))
    assert (frames.WINDOW_UPDATE, 1) in [(one.kind, one.stream_id) for one in sent(server)]
    assert server.receive_data(data(1, bytes(16_384), end_stream=True), 0.0) == [EndOfMessage(1)]
    assert server.open_streams == 0


def test_a_connection_that_broke_reads_nothing_away() -> None:
    server = answered_early()
    server.receive_data(data(0), 0.0)
    assert not server.waits


# -- tunnels ----------------------------------------------------------------------------------------------------------


def test_a_websocket_is_a_tunnel_whose_sides_end_one_by_one() -> None:
    server = opened_server()
    (request,) = server.receive_data(headers(1, CONNECT, end_stream=False), 0.0)
    assert isinstance(request, Request)
    assert request.upgrade == b"websocket"
    server.send(InformationalResponse(1, 101, [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Accept", b"x")]))
    (yes,) = sent(server)
    assert (yes.flags, yes.payload) == (frames.END_HEADERS, b"\x20\x88")
    server.send(Data(1, b"down"))
    server.send(EndOfMessage(1))
    assert sent(server) == [Frame(frames.DATA, frames.END_STREAM, 1, b"down")]
    assert server.receive_data(data(1, b"up", end_stream=True), 0.0) == [Data(1, b"up"), EndOfMessage(1)]
    assert server.open_streams == 0


def test_a_tunnel_is_finished_in_order() -> None:
    server = opened_server(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    server.receive_data(headers(1, CONNECT, end_stream=False), 0.0)
    server.send(InformationalResponse(1, 101, []))
    server.send(Data(1, b"last"))
    server.finish(1)
    assert codes(server) == []
    server.receive_data(settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 9}), 0.0)
    assert [one.kind for one in sent(server)] == [frames.SETTINGS, frames.DATA, frames.RST_STREAM]
    server.receive_data(headers(3, CONNECT, end_stream=False), 0.0)
    server.send(InformationalResponse(3, 101, []))
    server.send(EndOfMessage(3))
    server.finish(3)
    assert codes(server) == [(3, ErrorCode.NO_ERROR)]


def test_a_refused_websocket_is_an_answer_like_others() -> None:
    server = opened_server()
    server.receive_data(headers(1, CONNECT, end_stream=False), 0.0)
    server.send(Response(1, 403, []))
    server.send(EndOfMessage(1))
    server.finish(1)
    assert codes(server) == [(1, ErrorCode.NO_ERROR)]
    assert server.open_streams == 0


# -- the end ----------------------------------------------------------------------------------------------------------


def test_the_end_comes_in_two_steps() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.announce_end()
    server.announce_end()
    assert isinstance(server.receive_data(headers(3, GET), 0.0)[0], Request)
    server.end()
    server.end()
    server.announce_end()
    found = sent(server)
    assert [int.from_bytes(one.payload[:4]) for one in found] == [2**31 - 1, 3]
    assert {code_of(one) for one in found} == {ErrorCode.NO_ERROR}
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    assert [one.kind for one in sent(server)] == [frames.HEADERS]


def test_the_blocks_of_requests_that_come_too_late_are_decoded() -> None:
    server = opened_server()
    server.end()
    late = block(GET) + b"\x40" + string(b"a") + string(b"1")
    assert server.receive_data(frame(frames.HEADERS, 5, 1, late), 0.0) == []
    assert [entry.field for entry in server._decoder.decode(b"\xbe").entries] == [(b"a", b"1")]
    assert server.receive_data(headers(3, [*GET, (b"expect", b"x")]), 0.0) == []
    assert server.open_streams == 0


def test_a_broken_connection_says_nothing_more() -> None:
    server = opened_server()
    server.receive_data(data(0), 0.0)
    server.data_to_send()
    server.announce_end()
    server.end()
    assert parse(server.data_to_send()) == []


def test_a_response_is_no_request() -> None:
    server = opened_server()
    assert server.receive_data(headers(1, OK), 0.0) == []
    assert codes(server) == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_what_comes_for_a_stream_that_is_long_forgotten_is_ignored() -> None:
    server = opened_server()
    for number in range(1, 1_201, 2):
        server.receive_data(headers(number, GET), 0.0)
        server.send(Response(number, 204, []))
        server.send(EndOfMessage(number))
    server.data_to_send()
    assert server.receive_data(data(1, b"late") + headers(1, [(b"a", b"b")]) + rst_stream(1), 0.0) == []
    assert not server.broken
    server.receive_data(data(1_199, b"late"), 0.0)
    assert codes(server) == [(0, ErrorCode.STREAM_CLOSED)]


# -- how large a head the client takes ---------------------------------------------------------------------------------


def taking(list_bytes: int) -> H2ClientCodec:
    server = opened_server()
    server.receive_data(settings({frames.SETTINGS_MAX_HEADER_LIST_SIZE: list_bytes}) + headers(1, GET), 0.0)
    sent(server)
    return server


def large(size: int, count: int = 1) -> Response:
    """A response whose head counts `size` bytes (RFC 9113 6.5.2)."""
    each = (size - 42) // count
    return Response(1, 200, [(b"x", b"a" * (each - 33))] * count, b"OK", 0)


@pytest.mark.parametrize("count", [1, 100])
def test_a_head_larger_than_the_client_takes_is_not_sent(count: int) -> None:
    server = taking(20_042)
    with pytest.raises(HeadTooLarge) as caught:
        server.send(large(30_042, count))
    assert caught.value.summary == "head of 30042 bytes in HTTP/2, of which this client takes 20042"
    assert sent(server) == []
    server.send(large(20_042, count))
    assert sent(server)[0].kind == frames.HEADERS


def test_a_limit_below_any_use_is_not_taken_at_its_word() -> None:
    server = taking(1)
    server.send(large(16_342))
    assert sent(server)[0].kind == frames.HEADERS
