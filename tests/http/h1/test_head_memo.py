"""What a connection remembers of its heads changes the cost of a message, never the message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtls.errors import LocalProtocolError
from devtls.http.events import Data, EndOfMessage, RememberedHeaders, Request, Response
from devtls.http.forward import forward_request, forward_response
from devtls.http.h1.client import H1ClientCodec
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.upstream import H1UpstreamCodec
from devtls.http.terms import Edge, ForwardPolicy

LIMITS = HeadLimits()
EDGE = Edge(b"127.0.0.1", b"https", 443, b"devtls-test")
POLICY = ForwardPolicy()
HEADS = [
    b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: app.dev.local\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: api.dev.local\r\nAccept: */*\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n",
    b"GET http://other.test/ HTTP/1.1\r\nHost: app.dev.local\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: app.dev.local\r\nContent-Length: 2\r\n\r\nhi",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
]
OK = Response(1, 200, [], b"OK", 0)


def ask(codec: H1ClientCodec, data: bytes) -> list[object]:
    """Return the events of one request, and answer it."""
    events: list[object] = [*codec.receive_data(data)]
    stream = events[0].stream_id if isinstance(events[0], Request) else 0
    codec.send(Response(stream, 200, [], b"OK", 0))
    codec.send(EndOfMessage(stream))
    assert codec.rest()
    return events


def fetch(codec: H1UpstreamCodec, number: int, method: bytes, answer: bytes) -> list[object]:
    """Return the events of one answer."""
    codec.send(Request(number, method, b"/", b"", [], 0))
    return [*codec.receive_data(answer)]


@given(st.lists(st.sampled_from(HEADS), min_size=1, max_size=30))
def test_requests_on_one_connection_are_read_as_on_connections_of_their_own(heads: list[bytes]) -> None:
    shared = H1ClientCodec(LIMITS)
    for number, head in enumerate(heads, start=1):
        events = ask(shared, head)
        fresh = ask(H1ClientCodec(LIMITS), head)
        for event in fresh:
            event.stream_id = number  # type: ignore[attr-defined]  # every event has one
        assert events == fresh


@given(st.lists(st.tuples(st.sampled_from([b"GET", b"HEAD"]), st.sampled_from(ANSWERS)), min_size=1, max_size=30))
def test_answers_on_one_connection_are_read_as_on_connections_of_their_own(pairs: list[tuple[bytes, bytes]]) -> None:
    shared = H1UpstreamCodec(LIMITS)
    for method, answer in pairs:
        sent = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else answer
        if not shared.reusable:
            shared = H1UpstreamCodec(LIMITS)
        assert fetch(shared, 1, method, sent) == fetch(H1UpstreamCodec(LIMITS), 1, method, sent)


def test_the_same_block_of_fields_is_the_same_object() -> None:
    codec = H1ClientCodec(LIMITS)
    once, first, second = (ask(codec, head)[0] for head in (HEADS[0], HEADS[0], HEADS[1]))
    assert isinstance(once, Request)
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert once.headers == first.headers
    assert first.headers is second.headers
    assert second.target == b"/x"


def test_many_different_heads_are_forgotten_again() -> None:
    codec = H1ClientCodec(LIMITS)
    for number in range(100):
        head = b"GET /%d HTTP/1.1\r\nHost: app.dev.local\r\nX-Number: %d\r\n\r\n" % (number, number)
        ask(codec, head)
        ask(codec, head)
    assert 0 < len(codec._memo.heads) <= 8


def test_a_large_block_is_not_kept() -> None:
    codec = H1ClientCodec(LIMITS)
    for _ in range(3):
        ask(codec, b"GET / HTTP/1.1\r\nHost: app.dev.local\r\nCookie: %b\r\n\r\n" % (b"x" * 5000))
    assert not codec._memo.heads


def test_an_edit_is_remembered_for_its_route_client_and_authority_only() -> None:
    fields = RememberedHeaders([(b"Host", b"app.dev.local")])
    asked = Request(1, b"GET", b"/", b"app.dev.local", fields)
    made = forward_request(asked, POLICY, EDGE).headers
    assert forward_request(asked, POLICY, EDGE).headers is made
    elsewhere = ForwardPolicy(host=b"localhost:3000")
    assert forward_request(asked, elsewhere, EDGE).headers[0] == (b"Host", b"localhost:3000")
    assert forward_request(asked, POLICY, EDGE).headers == made
    other = Edge(b"::1", b"https", 443, b"devtls-test")
    assert (b"X-Forwarded-For", b"::1") in forward_request(asked, POLICY, other).headers
    asked.authority = b"other.test"
    assert forward_request(asked, POLICY, EDGE).headers[0] == (b"Host", b"other.test")


def test_an_answers_edit_is_remembered_likewise() -> None:
    policy = ForwardPolicy(origins=(b"http://127.0.0.1:3000",))
    fields = RememberedHeaders([(b"Location", b"http://127.0.0.1:3000/x")])
    got = Response(1, 302, fields, b"Found", 0)
    made = forward_response(got, policy, EDGE, authority=b"app.dev.local").headers
    assert made[0] == (b"Location", b"https://app.dev.local/x")
    assert forward_response(got, policy, EDGE, authority=b"app.dev.local").headers is made
    assert forward_response(got, policy, EDGE, authority=b"app.test").headers[0][1] == b"https://app.test/x"


def test_a_remembered_list_is_written_as_any_other() -> None:
    fields = [(b"Host", b"app.dev.local"), (b"TE", b"trailers"), (b"Connection", b"x")]
    plain = H1UpstreamCodec(LIMITS).send(Request(1, b"GET", b"/", b"", list(fields)))
    remembered = RememberedHeaders(fields)
    for _ in range(2):
        assert H1UpstreamCodec(LIMITS).send(Request(1, b"GET", b"/", b"", remembered)) == plain


def test_a_whole_answer_is_written_as_its_parts_are() -> None:
    for head, body in ((OK, b""), (Response(1, 200, [], b"OK", 2), b"hi"), (Response(1, 200, [], b"OK", None), b"hi")):
        whole, parts = H1ClientCodec(LIMITS), H1ClientCodec(LIMITS)
        whole.receive_data(HEADS[0])
        parts.receive_data(HEADS[0])
        written = b"".join(parts.send(event) for event in (head, Data(1, body), EndOfMessage(1)))
        assert whole.send_whole(head, Data(1, body)) == written
        assert whole.rest()


def test_a_whole_answer_to_another_request_is_our_bug() -> None:
    codec = H1ClientCodec(LIMITS)
    codec.receive_data(HEADS[0])
    with pytest.raises(LocalProtocolError):
        codec.send_whole(Response(2, 200, [], b"OK", 0), Data(2, b""))


def test_a_connection_rests_only_when_both_messages_are_complete() -> None:
    codec = H1ClientCodec(LIMITS)
    codec.receive_data(HEADS[0])
    assert not codec.rest()
    codec.send(OK)
    assert not codec.rest()
    codec.send(EndOfMessage(1))
    assert codec.rest()
