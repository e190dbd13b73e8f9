"""The h2 library as the peer: whole exchanges, many at once, in whatever order; both ends see the same.

Each script is a request and its answer; two generators play it, one at each end, and a schedule says whose turn it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.settings import SettingCodes
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from devtls.http.events import (
    Data,
    EndOfMessage,
    Headers,
    InformationalResponse,
    Request,
    Reset,
    Response,
    Trailers,
)
from devtls.http.h2.client import H2ClientCodec
from devtls.http.h2.frames import HEADER_BYTES, PREFACE
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.upstream import H2UpstreamCodec
from devtls.http.upgrade import refusal_of
from tests.effort import examples
from tests.http.h2.wire import SECRET

BOUNDED = settings(max_examples=examples(200), phases=[Phase.generate], deadline=None, derandomize=True, database=None)
LIMITS = H2Limits(window_bytes=65_535, max_streams=100)
SPECIAL = {
    b"connection", b"content-length", b"cookie", b"expect", b"host", b"keep-alive", b"proxy-connection", b"te",
    b"transfer-encoding", b"upgrade",
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """One direction of an exchange; `cut` is after how many steps its sender resets the stream."""

    fields: Headers
    sizes: tuple[int, ...] = ()
    trailers: Headers = field(default_factory=list)
    interims: tuple[int, ...] = ()
    declared: bool = False
    cut: int | None = None

    @property
    def pieces(self) -> list[bytes]:
        return [(b"%d " % place * size)[:size] for place, size in enumerate(self.sizes)]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def bodiless(self) -> bool:
        return not self.pieces and not self.trailers

    @property
    def head(self) -> Headers:
        # a message that says 0 has no trailers: HTTP/1.1 could not carry them
        declared = self.declared and self.pieces
        return [*self.fields, (b"content-length", b"%d" % len(self.body))] if declared else self.fields

    @property
    def length(self) -> int | None:
        if self.bodiless:
            return 0
        return len(self.body) if self.declared and self.pieces else None


@dataclass(frozen=True)
class Script:
    """An exchange."""

    method: bytes
    path: bytes
    status: int
    request: Message
    response: Message


@dataclass
class Seen:
    """What one end has seen of a message."""

    head: list[tuple[bytes, bytes]] = field(default_factory=list)
    interims: list[int] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    ended: bool = False
    reset: bool = False


def plain(fields: Any) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in fields]


def one_by_one(out: bytes) -> Iterator[bytes]:
    """Yield the frames: h2 goes by a new maximum size from the next call on, not from the acknowledgement on."""
    if out.startswith(PREFACE):
        yield PREFACE
        out = out[len(PREFACE) :]
    while out:
        size = HEADER_BYTES + int.from_bytes(out[:3])
        yield out[:size]
        out = out[size:]


class Session:
    """Our codec and h2's connection, with nothing between them."""

    def __init__(self, ours: H2ClientCodec | H2UpstreamCodec, start: dict[SettingCodes, int], *, holds: bool) -> None:
        self.ours = ours
        client_side = isinstance(ours, H2ClientCodec)
        self.theirs = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=client_side, header_encoding=False)
        )
        self.theirs.local_settings = h2.settings.Settings(
            client=client_side, initial_values={SettingCodes.ENABLE_PUSH: 0, **start} if client_side else start
        )
        self.theirs.max_inbound_frame_size = self.theirs.local_settings.max_frame_size
        self.theirs.initiate_connection()
        self.we_saw: dict[int, Seen] = {}
        self.they_saw: dict[int, Seen] = {}
        self.drained: set[int] = set()
        self.discarded: set[int] = set()
        """Streams whose answer was whole before their request was: the rest of that is read away."""
        self.holds = holds
        self.unread: list[h2.events.DataReceived] = []

    def pump(self) -> None:
        """Carry bytes until both are silent."""
        while True:
            out = self.ours.data_to_send()
            if isinstance(self.ours, H2ClientCodec):
                self.discarded.update(self.ours._discarding)
            for frame in one_by_one(out):
                for event in self.theirs.receive_data(frame):
                    self.they_see(event)
            back = self.theirs.data_to_send()
            for addressed in self.ours.receive_data(back, 0.0) if back else []:
                self.we_see(addressed)
            self.drained.update(self.ours.drained)
            self.ours.drained.clear()
            assert not self.ours.broken
            if not out and not back:
                return

    def they_see(self, event: h2.events.Event) -> None:
        stream_id = getattr(event, "stream_id", None)
        seen = self.they_saw.setdefault(stream_id, Seen()) if stream_id else Seen()
        if isinstance(event, h2.events.RequestReceived | h2.events.ResponseReceived):
            seen.head = plain(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            seen.interims.append(int(dict(plain(event.headers))[b":status"]))
        elif isinstance(event, h2.events.DataReceived):
            seen.body += event.data or b""
            self.unread.append(event)
            if not self.holds:
                self.read()
        elif isinstance(event, h2.events.TrailersReceived):
            seen.trailers = plain(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            seen.ended = True
        elif isinstance(event, h2.events.StreamReset):
            seen.reset = True

    def change(self, pairs: dict[SettingCodes, int]) -> None:
        """Change h2's settings; a window only grows: h2 takes an empty DATA on a negative one for too much."""
        least = self.theirs.local_settings.initial_window_size
        grown: dict[SettingCodes | int, int] = {
            key: max(value, least) if key == SettingCodes.INITIAL_WINDOW_SIZE else value for key, value in pairs.items()
        }
        self.theirs.update_settings(grown)

    def read(self) -> None:
        """Let the peer give back what it has received."""
        for event in self.unread:
            if event.flow_controlled_length:
                self.theirs.acknowledge_received_data(event.flow_controlled_length, event.stream_id or 0)
        self.unread.clear()

    def we_see(self, addressed: Any) -> None:
        event = addressed[1] if isinstance(addressed, tuple) else addressed
        seen = self.we_saw.setdefault(event.stream_id, Seen())
        if isinstance(event, Request):
            pseudo = [(b":method", event.method), (b":path", event.target), (b":authority", event.authority)]
            seen.head = [*pseudo, *event.headers]
        elif isinstance(event, Response):
            seen.head = [(b":status", b"%d" % event.status), *event.headers]
        elif isinstance(event, InformationalResponse):
            seen.interims.append(event.status)
        elif isinstance(event, Data):
            seen.body += event.data
        elif isinstance(event, Trailers):
            seen.trailers = list(event.headers)
        elif isinstance(event, EndOfMessage):
            seen.ended = True
        else:
            assert isinstance(event, Reset)
            seen.reset = True
            if isinstance(self.ours, H2ClientCodec):
                self.ours.release(event.stream_id)

    # -- the senders --------------------------------------------------------------------------------------------------

    def they_send(self, stream_id: int, message: Message, head: Headers, interim: Headers) -> Iterator[None]:
        """Play a message from h2's side; a stream that we have reset needs no more."""
        try:
            for status in message.interims:
                self.theirs.send_headers(stream_id, [(b":status", b"%d" % status), *interim])
                yield
            self.theirs.send_headers(stream_id, [*head, *message.head], end_stream=message.bodiless)
            yield
            for piece in message.pieces:
                rest = piece
                while rest:
                    room = self.theirs.local_flow_control_window(stream_id)
                    room = min(room, self.theirs.max_outbound_frame_size)
                    if room > 0:
                        self.theirs.send_data(stream_id, rest[:room])
                        rest = rest[room:]
                    yield
            if message.trailers:
                self.theirs.send_headers(stream_id, message.trailers, end_stream=True)
            elif message.pieces:
                self.theirs.end_stream(stream_id)
        except h2.exceptions.ProtocolError:
            assert self.they_saw[stream_id].reset

    def we_send(self, label: int, stream_id: int, message: Message) -> Iterator[None]:
        """Play the rest of a message, whose head is out, from our side."""
        for piece in message.pieces:
            self.drained.discard(stream_id)
            if self.send(stream_id, Data(label, piece)):
                while stream_id not in self.drained and not self.they_saw[stream_id].reset and not self.gone(label):
                    yield
            yield
        if message.trailers:
            self.send(stream_id, Trailers(label, message.trailers))
        self.send(stream_id, EndOfMessage(label))

    def gone(self, label: int) -> bool:
        return label in self.we_saw and self.we_saw[label].reset

    def send(self, stream_id: int, event: Data | Trailers | EndOfMessage) -> bool:
        if isinstance(self.ours, H2UpstreamCodec):
            return self.ours.send(stream_id, event)
        return self.ours.send(event)


def cut_short(steps: Iterator[None], after: int | None, reset: Any) -> Iterator[None]:
    for number, _ in enumerate(steps):
        if number == after:
            reset()
            return
        yield


def play(
    session: Session, actors: list[Iterator[None]], schedule: list[int], changes: dict[int, dict[SettingCodes, int]]
) -> None:
    """Let the actors take turns until all are done."""
    session.pump()
    turn = 0
    while actors:
        choice = schedule[turn] if turn < len(schedule) else turn
        actor = actors[choice % len(actors)]
        if next(actor, actors) is actors:
            actors.remove(actor)
        if turn in changes:
            session.change(changes[turn])
        if turn == len(schedule):  # whatever was closed is opened in the end
            session.change({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
        if turn % 7 == 0 or turn > len(schedule):
            session.read()
        session.pump()
        turn += 1
        assert turn < 2_000
    session.change({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
    while session.unread:
        session.read()
        session.pump()
    session.pump()


def check_accounts(ours: H2ClientCodec | H2UpstreamCodec, limits: H2Limits) -> None:
    assert ours.open_streams == 0
    assert ours._receive_window + ours._held == limits.connection_window_bytes
    assert ours._waiting == 0


def check(seen: Seen, sent: Message, head: Headers, *, may_be_cut: bool) -> None:
    if not may_be_cut:
        assert seen.ended
    if seen.ended:
        assert (seen.body, seen.trailers) == (sent.body, sent.trailers)
    assert sent.body.startswith(seen.body)
    if seen.head:
        assert sorted(seen.head[: len(head)]) == sorted(head)
        assert seen.head[len(head) :] == sent.head
        assert seen.interims == list(sent.interims)


# -- strategies -------------------------------------------------------------------------------------------------------

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_!#$%&'*+.^`|~", min_size=1, max_size=12).map(str.encode)
values = st.text([chr(code) for code in range(0x20, 0x100) if code != 0x7F] + ["\t"], max_size=20).map(
    lambda text: text.encode("latin-1").strip(b" \t")
)
fields = st.lists(st.tuples(names.filter(lambda name: name not in SPECIAL), values), max_size=5)
lengths = st.sampled_from([1, 2, 100, 16_383, 16_384, 16_385, 40_000, 65_536, 70_000])
sizes = st.lists(lengths, max_size=3).map(tuple)
cuts = st.none() | st.none() | st.none() | st.integers(0, 5)
requests = st.builds(Message, fields, sizes, fields, st.just(()), st.booleans(), cuts)
interims = st.lists(st.sampled_from([100, 102, 103]), max_size=2).map(tuple)
responses = st.builds(Message, fields, sizes, fields, interims, st.booleans(), cuts)
paths = st.text([chr(code) for code in range(0x21, 0x7F) if chr(code) != "#"], max_size=20).map(
    lambda text: b"/" + text.encode()
)
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND"])
statuses = st.sampled_from([200, 201, 299, 302, 404, 500, 599])
scripts = st.lists(st.builds(Script, methods, paths, statuses, requests, responses), min_size=1, max_size=4)
schedules = st.lists(st.integers(0, 60), max_size=60)
windows = st.sampled_from([0, 3_000, 16_384, 65_535, 200_000])
frame_sizes = st.sampled_from([16_384, 16_385, 100_000])
starts = st.fixed_dictionaries(
    {SettingCodes.INITIAL_WINDOW_SIZE: windows, SettingCodes.MAX_FRAME_SIZE: frame_sizes},
    optional={SettingCodes.HEADER_TABLE_SIZE: st.sampled_from([0, 100, 65_536])},
)
changes = st.dictionaries(
    st.integers(0, 60),
    st.one_of(
        st.fixed_dictionaries({SettingCodes.INITIAL_WINDOW_SIZE: windows}),
        st.fixed_dictionaries({SettingCodes.HEADER_TABLE_SIZE: st.sampled_from([0, 100, 65_536])}),
        st.fixed_dictionaries({SettingCodes.MAX_FRAME_SIZE: frame_sizes}),
    ),
    max_size=4,
)


# -- the tests --------------------------------------------------------------------------------------------------------


@BOUNDED
@given(scripts, schedules, starts, changes, st.booleans())
def test_what_a_client_and_our_server_say_to_each_other_arrives(
    exchanges: list[Script],
    schedule: list[int],
    start: dict[SettingCodes, int],
    change: dict[int, dict[SettingCodes, int]],
    holds: bool,
) -> None:
    server = H2ClientCodec(LIMITS, SECRET)
    session = Session(server, start, holds=holds)
    actors: list[Iterator[None]] = []
    opened: list[Script] = []
    for script in exchanges:
        actors += _browser(session, script, opened), _app(session, script, opened)
    play(session, actors, schedule, change)
    assert len(opened) == len(exchanges)
    for place, script in enumerate(opened):
        stream_id = 2 * place + 1
        head = _request_head(script)
        cut = script.request.cut is not None or script.response.cut is not None
        answered = session.they_saw.get(stream_id, Seen())
        asked = session.we_saw.get(stream_id, Seen())
        asked.ended = asked.ended and stream_id not in session.discarded
        check(asked, script.request, head, may_be_cut=cut or stream_id in session.discarded)
        check(answered, script.response, [(b":status", b"%d" % script.status)], may_be_cut=cut)
    check_accounts(server, LIMITS)


def _request_head(script: Script) -> Headers:
    return [(b":method", script.method), (b":path", script.path), (b":authority", b"a.test")]


def _browser(session: Session, script: Script, opened: list[Script]) -> Iterator[None]:
    opened.append(script)
    stream_id = session.theirs.get_next_available_stream_id()
    head = [*_request_head(script), (b":scheme", b"https")]
    steps = session.they_send(stream_id, script.request, head, [])

    def reset() -> None:
        if not session.they_saw.get(stream_id, Seen()).reset:
            session.theirs.reset_stream(stream_id, 8)

    yield from cut_short(steps, script.request.cut, reset)


def _app(session: Session, script: Script, opened: list[Script]) -> Iterator[None]:
    server = session.ours
    assert isinstance(server, H2ClientCodec)
    while not any(script is one for one in opened):
        yield
    stream_id = 2 * [script is one for one in opened].index(True) + 1

    def steps() -> Iterator[None]:
        message = script.response
        while not session.we_saw.get(stream_id, Seen()).head:
            if session.gone(stream_id):
                return
            yield
        session.they_saw.setdefault(stream_id, Seen())
        for status in message.interims:
            server.send(InformationalResponse(stream_id, status, []))
            yield
        server.send(Response(stream_id, script.status, message.head, body_length=message.length))
        yield
        yield from session.we_send(stream_id, stream_id, message)

    def reset() -> None:
        server.send(Reset(stream_id, "cut", 2))
        server.release(stream_id)

    yield from cut_short(steps(), script.response.cut, reset)


@BOUNDED
@given(scripts, schedules, starts, changes, st.booleans())
def test_what_our_client_and_an_app_say_to_each_other_arrives(
    exchanges: list[Script],
    schedule: list[int],
    start: dict[SettingCodes, int],
    change: dict[int, dict[SettingCodes, int]],
    holds: bool,
) -> None:
    client = H2UpstreamCodec(LIMITS, b"https")
    session = Session(client, start, holds=holds)
    session.pump()
    actors: list[Iterator[None]] = []
    streams: list[int] = []
    for place, script in enumerate(exchanges):
        label = 1000 + place
        message = script.request
        host = [(b"Host", b"a.test"), *message.head]
        streams.append(client.request(Request(label, script.method, script.path, b"a.test", host, message.length)))
        actors += _uploader(session, script, label, streams[-1]), _grpc_app(session, script, streams[-1])
    play(session, actors, schedule, change)
    for place, script in enumerate(exchanges):
        head = [*_request_head(script), (b":scheme", b"https")]
        cut = script.request.cut is not None or script.response.cut is not None
        check(session.they_saw.get(streams[place], Seen()), script.request, head, may_be_cut=cut)
        answered = session.we_saw.get(1000 + place, Seen())
        check(answered, script.response, [(b":status", b"%d" % script.status)], may_be_cut=cut)
    check_accounts(client, LIMITS)


def _uploader(session: Session, script: Script, label: int, stream_id: int) -> Iterator[None]:
    client = session.ours
    session.they_saw.setdefault(stream_id, Seen())

    def steps() -> Iterator[None]:
        yield
        if not script.request.bodiless:
            yield from session.we_send(label, stream_id, script.request)

    yield from cut_short(steps(), script.request.cut, lambda: client.reset(stream_id))


def _grpc_app(session: Session, script: Script, stream_id: int) -> Iterator[None]:
    def steps() -> Iterator[None]:
        while not session.they_saw[stream_id].head:
            if session.they_saw[stream_id].reset:
                return
            yield
        head = [(b":status", b"%d" % script.status)]
        yield from session.they_send(stream_id, script.response, head, [])

    def reset() -> None:
        if not session.they_saw[stream_id].reset:
            session.theirs.reset_stream(stream_id, 2)

    yield from cut_short(steps(), script.response.cut, reset)


def test_a_websocket_crosses_both_codecs_and_the_oracle() -> None:
    client = H2UpstreamCodec(LIMITS, b"http")
    app = Session(client, {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}, holds=False)
    app.pump()
    assert client.carries_websockets
    server = H2ClientCodec(LIMITS, SECRET)
    browser = Session(server, {}, holds=False)
    browser.pump()
    pseudo = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"https"), (b":path", b"/chat")]
    browser.theirs.send_headers(1, [*pseudo, (b":authority", b"a.test"), (b"sec-websocket-protocol", b"x")])
    (request,) = server.receive_data(browser.theirs.data_to_send(), 0.0)
    assert isinstance(request, Request)
    number = client.request(request)
    app.pump()
    assert sorted(app.they_saw[number].head) == sorted(
        [*pseudo[:2], (b":scheme", b"http"), pseudo[3], (b":authority", b"a.test"), (b"sec-websocket-protocol", b"x"),
         (b"sec-websocket-version", b"13")]
    )  # fmt: skip
    app.theirs.send_headers(number, [(b":status", b"200"), (b"sec-websocket-protocol", b"x")])
    ((_, yes),) = client.receive_data(app.theirs.data_to_send(), 0.0)
    assert isinstance(yes, InformationalResponse)
    assert refusal_of(request, yes) == ""
    server.send(yes)
    server.send(Data(1, b"down"))
    browser.pump()
    assert browser.they_saw[1].head == [(b":status", b"200"), (b"sec-websocket-protocol", b"x")]
    assert browser.they_saw[1].body == b"down"
    client.send(number, Data(1, b"up"))
    client.send(number, EndOfMessage(1))
    app.theirs.end_stream(number)
    app.pump()
    assert (app.they_saw[number].body, app.they_saw[number].ended) == (b"up", True)
    check_accounts(client, LIMITS)
