"""Frames in any order, legal and not: the connection answers or is broken, and its accounts are right at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from devtls.http.events import (
    Data,
    EndOfMessage,
    Headers,
    InformationalResponse,
    Reset,
    Response,
    Trailers,
)
from devtls.http.h2 import frames
from devtls.http.h2.client import H2ClientCodec
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.outgoing import OUT_BYTES, QUEUE_BYTES
from devtls.http.h2.upstream import H2UpstreamCodec
from tests.effort import examples
from tests.http.h2 import wire
from tests.http.h2.wire import CONNECT, GET, OK, POST

BOUNDED = settings(
    max_examples=examples(300), deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
LIMITS = H2Limits(max_streams=4, window_bytes=65_535)

streams = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 9, 2, 11])
lists: st.SearchStrategy[Headers] = st.sampled_from(
    [GET, POST, CONNECT, OK, [(b":status", b"103")], [(b":status", b"403")], [(b"a", b"b")], [(b"A", b"b")], [],
     [*POST, (b"content-length", b"100")], [*OK, (b"content-length", b"100")], [*GET, (b"expect", b"x")]]
)  # fmt: skip
increments = st.sampled_from([0, 1, 100, 16_384, 65_535, 2**31 - 1])
window_sizes = st.sampled_from([0, 1, 100, 65_535, 2**31 - 1, 2**31])
received = st.one_of(
    st.builds(
        lambda stream_id, fields, end: wire.headers(stream_id, fields, end_stream=end), streams, lists, st.booleans()
    ),
    st.builds(
        lambda stream_id, size, end: wire.data(stream_id, bytes(size), end_stream=end),
        streams,
        st.sampled_from([0, 1, 100, 100, 16_384]),
        st.booleans(),
    ),
    st.builds(wire.window_update, streams, increments),
    st.builds(wire.rst_stream, streams, st.sampled_from([0, 7, 8, 99])),
    window_sizes.map(lambda size: wire.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: size})),
    st.builds(lambda key, value: wire.settings({key: value}), st.integers(0, 9), st.integers(0, 20_000)),
    st.builds(
        wire.frame,
        st.integers(0, 11),
        st.integers(0, 63),
        streams,
        st.sampled_from([b"", bytes(4), bytes(5), bytes(8)]),
    ),
    st.builds(wire.frame, st.integers(0, 11), st.integers(0, 255), streams, st.binary(max_size=20)),
    st.builds(wire.goaway, st.sampled_from([0, 1, 3, 2**31 - 1])),
    st.just(frames.SETTINGS_ACK),
    st.binary(min_size=9, max_size=9),
)
Act = Callable[[Any], list[Any]]


def receives(wire: bytes) -> Act:
    return lambda endpoint: endpoint.receive_data(wire, 0.0)


def one_of_its_streams(kind: str, number: int, size: int, flag: bool) -> Act:
    """Something that happens on an open stream."""
    body = bytes(max(1, size))
    frame_of = {
        "data": wire.data(number, body[:16_384], end_stream=flag and size > 100),
        "credit": wire.window_update(number, max(1, size)),
        "reset": wire.rst_stream(number, 7 if flag else 8),
        "trailers in": wire.headers(number, [(b"a", b"b")]),
    }
    if kind in frame_of:
        return receives(frame_of[kind])
    controls: dict[str, Callable[[H2ClientCodec | H2UpstreamCodec], object]] = {
        "hold": lambda endpoint: endpoint.pause_reading(number),
        "resume": lambda endpoint: endpoint.resume_reading(number),
        "finish": lambda endpoint: endpoint.finish(number),
        "drop": lambda endpoint: endpoint.reset(number),
        "body": lambda endpoint: sends(endpoint, number, Data(number, body)),
        "end": lambda endpoint: sends(endpoint, number, EndOfMessage(number)),
        "trailers": lambda endpoint: sends(endpoint, number, Trailers(number, [(b"a", b"b")])),
        "answer": lambda endpoint: answers(endpoint, number, flag),
        "interim": lambda endpoint: interim(endpoint, number, flag),
    }

    def act(endpoint: H2ClientCodec | H2UpstreamCodec) -> list[Any]:
        controls[kind](endpoint)
        return []

    return act


def sends(endpoint: H2ClientCodec | H2UpstreamCodec, number: int, event: Data | Trailers | EndOfMessage) -> None:
    if isinstance(endpoint, H2UpstreamCodec):
        endpoint.send(number, event)
    elif endpoint._streams[number].answered:  # an exchange sends no body before its head
        endpoint.send(event)


def answers(endpoint: H2ClientCodec | H2UpstreamCodec, number: int, bodiless: bool) -> None:
    if isinstance(endpoint, H2UpstreamCodec):
        endpoint.receive_data(wire.headers(number, OK, end_stream=bodiless), 0.0)
    elif not endpoint._streams[number].answered:
        endpoint.send(Response(number, 200, [], body_length=0 if bodiless else None))


def interim(endpoint: H2ClientCodec | H2UpstreamCodec, number: int, switch: bool) -> None:
    if isinstance(endpoint, H2UpstreamCodec):
        endpoint.receive_data(wire.headers(number, [(b":status", b"103")], end_stream=False), 0.0)
    elif not endpoint._streams[number].answered:
        endpoint.send(InformationalResponse(number, 101 if switch else 103, [(b"link", b"x")]))


def begins(size: int, flag: bool) -> Act:
    """A client opens its next stream; we ask an app."""

    def act(endpoint: H2ClientCodec | H2UpstreamCodec) -> list[Any]:
        if isinstance(endpoint, H2ClientCodec):
            number = endpoint._last_peer_stream + 2 if endpoint._last_peer_stream else 1
            fields = CONNECT if size == 1 else POST
            return endpoint.receive_data(wire.headers(number, fields, end_stream=flag), 0.0)
        if endpoint.available:
            endpoint.request(wire.asked(7, length=None, upgrade=b"websocket" if size == 1 else b""))
        return []

    return act


def of_the_connection(kind: str, size: int, flag: bool) -> Act:
    if kind == "credit all":
        return receives(wire.window_update(0, max(1, size)))
    if kind == "settings":
        return receives(wire.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: size}))

    def act(endpoint: H2ClientCodec | H2UpstreamCodec) -> list[Any]:
        if kind == "tick":
            return endpoint.tick(float(size))
        if kind == "flush":
            endpoint.data_to_send()
        elif kind == "pause":
            endpoint.paused = not endpoint.paused
        elif isinstance(endpoint, H2ClientCodec) and size == 0:
            endpoint.announce_end() if flag else endpoint.end()
        return []

    return act


ON_STREAMS = {
    "answer": 3, "body": 5, "end": 1, "trailers": 1, "interim": 1, "hold": 1, "resume": 1, "finish": 1, "drop": 1,
    "data": 4, "credit": 3, "reset": 1, "trailers in": 1,
}  # fmt: skip
ON_ALL = {"begin": 4, "settings": 1, "credit all": 2, "flush": 3, "pause": 1, "tick": 1, "leave": 1}
KINDS = [kind for weights in (ON_STREAMS, ON_ALL) for kind, weight in weights.items() for _ in range(weight)]
"""What happens, as often as its weight."""


def act_of(kind: str, place: int, size: int, flag: bool) -> Act:
    if kind == "begin":
        return begins(size, flag)
    if kind in ON_ALL:
        return of_the_connection(kind, size, flag)

    def act(endpoint: H2ClientCodec | H2UpstreamCodec) -> list[Any]:
        known = list(endpoint._streams)
        return one_of_its_streams(kind, known[place % len(known)], size, flag)(endpoint) if known else []

    return act


acts = st.lists(
    st.builds(
        act_of,
        st.sampled_from(KINDS),
        st.integers(0, 3),
        st.sampled_from([0, 1, 100, 16_384, 70_000]),
        st.booleans(),
    ),
    min_size=10,
    max_size=80,
)
wild = st.lists(st.tuples(st.integers(0, 80), received.map(receives)), max_size=3)
"""Few of those that mostly break a connection, and where they stand."""


def check_accounts(endpoint: H2ClientCodec | H2UpstreamCodec) -> None:
    open_streams = list(endpoint._streams.values())
    assert endpoint._waiting == sum(bool(stream.queue) for stream in open_streams)
    for stream in open_streams:
        assert stream.send_window <= frames.MAX_WINDOW
        assert stream.queued == sum(len(item) for item in stream.queue if isinstance(item, memoryview))
        assert stream.held >= 0
        assert stream.receive_window + stream.held == LIMITS.stream_window_bytes or not stream.peer_open
        assert stream.peer_open or stream.our_side_open
        if stream.queue and (stream.send_window > 0 or not isinstance(stream.queue[0], memoryview)):
            assert stream.ringed
    if not endpoint.broken:
        assert endpoint._send_window <= frames.MAX_WINDOW
        held = endpoint._held + sum(stream.held for stream in open_streams)
        assert endpoint._receive_window + held == LIMITS.connection_window_bytes
    if isinstance(endpoint, H2ClientCodec):
        assert endpoint._discarding.keys() <= endpoint._streams.keys()
    assert {stream.id for stream in endpoint._ring if stream.queue} == {
        s.id for s in open_streams if s.ringed and s.queue
    }


def check_wire(endpoint: H2ClientCodec | H2UpstreamCodec, out: bytes) -> None:
    largest = 0
    for found in wire.parse(out):
        assert found.kind != frames.PUSH_PROMISE
        largest = max(largest, len(found.payload) if found.kind == frames.DATA else 0)
    assert largest <= max(endpoint._peer_max_frame, frames.MIN_FRAME_BYTES, OUT_BYTES)


def mixed(sequence: list[Act], rare: list[tuple[int, Act]]) -> list[Act]:
    for place, act in rare:
        sequence.insert(place, act)
    return sequence


def run(endpoint: H2ClientCodec | H2UpstreamCodec, sequence: list[Act]) -> None:
    for act in sequence:
        broken = endpoint.broken
        for addressed in act(endpoint):
            event = addressed[1] if isinstance(addressed, tuple) else addressed
            assert not broken, "an event behind the end"
            if isinstance(event, Reset) and isinstance(endpoint, H2ClientCodec):
                endpoint.release(event.stream_id)
        check_accounts(endpoint)
    assert len(endpoint._ended._ended) <= 512
    check_wire(endpoint, wire.sent_bytes(endpoint))
    endpoint.paused = False
    check_wire(endpoint, wire.sent_bytes(endpoint))
    assert all(stream.queued <= QUEUE_BYTES + 70_000 * 80 for stream in endpoint._streams.values())
    for stream_id in list(endpoint._streams):
        endpoint.reset(stream_id)
    check_accounts(endpoint)
    assert endpoint.open_streams == 0
    assert not endpoint.waits or endpoint._blocks.stream_id > 0 or endpoint._settings_since_s is not None


@BOUNDED
@given(acts, wild)
def test_a_server_survives_whatever_a_client_sends(sequence: list[Act], rare: list[tuple[int, Act]]) -> None:
    run(wire.opened_server(LIMITS), mixed(sequence, rare))


@BOUNDED
@given(acts, wild)
def test_a_client_survives_whatever_an_app_sends(sequence: list[Act], rare: list[tuple[int, Act]]) -> None:
    client = wire.opened_client(LIMITS)
    client.request(wire.asked(1))
    client.request(wire.asked(3, length=None))
    run(client, mixed(sequence, rare))


@BOUNDED
@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_bytes_that_are_no_frames_break_nothing_but_their_connection(pieces: list[bytes], greeted: bool) -> None:
    for endpoint in (
        wire.opened_server(LIMITS) if greeted else H2ClientCodec(LIMITS, wire.SECRET),
        wire.opened_client(LIMITS) if greeted else H2UpstreamCodec(LIMITS, b"http"),
    ):
        endpoint.data_to_send()
        run(endpoint, [receives(piece) for piece in pieces])
