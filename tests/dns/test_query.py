"""What is read of a query, and what is refused before its meaning is looked at."""

from __future__ import annotations

import struct
import time

import dns.exception
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devtls.dns.query import MAX_QUERY_BYTES, MAX_RECORDS, Edns, Query, RefusedQuery, read_query
from tests.dns.asking import OPT, header, question, wire_of
from tests.effort import examples

PLAIN = header() + question(b"App", b"dev", b"LOCAL")
FORMERR, NOTIMP = int(dns.rcode.FORMERR), int(dns.rcode.NOTIMP)


def record(name: bytes, rdtype: int, rdata: bytes = b"", ttl: int = 0, rdclass: int = 1232) -> bytes:
    return name + struct.pack("!HHLH", rdtype, rdclass, ttl, len(rdata)) + rdata


def refusal(wire: bytes) -> int:
    """Return the code with which `wire` is refused."""
    found = read_query(wire)
    assert isinstance(found, RefusedQuery)
    answer = dns.message.from_wire(found.to_wire())
    assert len(found.to_wire()) == 12
    assert found.to_wire()[:2] == wire[:2]
    assert int(answer.rcode()) == found.rcode
    return found.rcode


def test_a_query_is_read_with_its_own_spelling_and_in_lower_case() -> None:
    found = read_query(PLAIN)
    assert found == Query(b"\x12\x34", 0, PLAIN[12:], b"\3app\3dev\5local\0", 1, 1, None)


@pytest.mark.parametrize(
    ("ttl", "size", "expected"),
    [
        (0, 4096, Edns(0, 4096, False)),
        (0x8000, 0, Edns(0, 0, True)),
        (0x0001_0000, 512, Edns(1, 512, False)),
        (0x7F64_FFFF, 512, Edns(100, 512, True)),
    ],
)
def test_what_the_opt_record_says(ttl: int, size: int, expected: Edns) -> None:
    found = read_query(header(counts=(1, 0, 0, 1)) + PLAIN[12:] + record(b"\0", 41, b"", ttl, size))
    assert isinstance(found, Query)
    assert found.edns == expected


def test_options_and_other_records_are_passed_over() -> None:
    options = struct.pack("!HH4s", 10, 4, b"four") + struct.pack("!HH", 65001, 0)
    more = record(b"\0", 250, b"signature") + record(b"\xc0\x0c", 1, b"\x7f\0\0\1") + record(b"\1x\xc0\x10", 999)
    found = read_query(header(counts=(1, 1, 1, 2)) + PLAIN[12:] + more + record(b"\0", 41, options))
    assert isinstance(found, Query)
    assert found.edns == Edns(0, 1232, False)


@pytest.mark.parametrize("length", range(len(PLAIN) + len(OPT)))
def test_a_query_that_was_cut_anywhere(length: int) -> None:
    whole = header(counts=(1, 0, 0, 1)) + PLAIN[12:] + OPT
    if length < 12:
        assert read_query(whole[:length]) is None
    else:
        assert refusal(whole[:length]) == FORMERR


def test_answers_are_dropped() -> None:
    assert read_query(header(0x8000) + PLAIN[12:]) is None
    assert read_query(header(0xFFFF)) is None


@pytest.mark.parametrize("opcode", range(1, 16))
def test_other_opcodes_are_not_implemented_and_come_back(opcode: int) -> None:
    for wire in (header(opcode << 11 | 0x0100), header(opcode << 11, (7, 7, 7, 7)) + b"\xff" * 50):
        assert refusal(wire) == NOTIMP
        found = read_query(wire)
        assert isinstance(found, RefusedQuery)
        answer = dns.message.from_wire(found.to_wire())
        assert answer.opcode() == dns.opcode.from_flags(opcode << 11)
        assert bool(answer.flags & dns.flags.RD) == bool(wire[2] & 1)


@pytest.mark.parametrize("count", [0, 2, 3, 65535])
def test_there_is_one_question(count: int) -> None:
    assert refusal(header(counts=(count, 0, 0, 0)) + question(b"test") * min(count, 3)) == FORMERR


LONGEST = [b"a" * 63] * 3 + [b"a" * 57]


@pytest.mark.parametrize(
    ("labels", "good"),
    [
        ([], True),
        ([b"a" * 63, b"test"], True),
        ([b"a" * 64, b"test"], False),
        ([*LONGEST, b"test"[:3]], True),
        ([*LONGEST, b"test"], False),
        ([b"\x00\xff.", b"test"], True),
    ],
)
def test_lengths_of_labels_and_names(labels: list[bytes], good: bool) -> None:
    wire = header() + question(*labels)
    if good:
        assert isinstance(read_query(wire), Query)
        assert len(dns.message.from_wire(wire).question) == 1
    else:
        assert refusal(wire) == FORMERR


@pytest.mark.parametrize("target", [0, 4, 12, 14, 16, 200])
def test_the_first_name_points_nowhere(target: int) -> None:
    wire = header() + b"\1a" + struct.pack("!H", 0xC000 | target) + struct.pack("!2H", 1, 1)
    assert refusal(wire) == FORMERR


TWELVE = len(PLAIN)
"""Where the first record begins."""


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([OPT, OPT], id="two OPT records"),
        pytest.param([record(b"\1a\0", 41)], id="OPT with a name"),
        pytest.param([record(b"\xc0\x19", 41)], id="OPT named by a pointer"),
        pytest.param([record(b"\0", 41, b"\0\1\0\1")], id="an option beyond its record"),
        pytest.param([record(b"\0", 41, b"\0\1\0")], id="half an option"),
        pytest.param([record(b"\0", 41, b"\0\1\0\0") + b"x"], id="more than was announced"),
        pytest.param([OPT[:-2] + b"\0\1"], id="a record beyond the message"),
        pytest.param([record(struct.pack("!H", 0xC000 | TWELVE), 1)], id="a name that points to itself"),
        pytest.param([record(struct.pack("!H", 0xC000 | TWELVE + 2), 1)], id="a name that points forward"),
        pytest.param([record(b"\1a" + struct.pack("!H", 0xC000 | TWELVE), 1)], id="a name that comes round"),
        pytest.param([record(b"\x40", 1)], id="a label of an unknown kind"),
        pytest.param([record(b"".join(bytes([63]) + b"a" * 63 for _ in range(4)) + b"\0", 1)], id="a name too long"),
        pytest.param([record(b"\0", 1)] * (MAX_RECORDS + 1), id="too many records"),
    ],
)
def test_malformed_records(records: list[bytes]) -> None:
    assert refusal(header(counts=(1, 0, 0, len(records))) + PLAIN[12:] + b"".join(records)) == FORMERR


@pytest.mark.parametrize("counts", [(1, 1, 0, 0), (1, 0, 1, 0)])
def test_an_opt_record_has_its_place(counts: tuple[int, int, int, int]) -> None:
    assert refusal(header(counts=counts) + PLAIN[12:] + OPT) == FORMERR


@pytest.mark.parametrize(("size", "good"), [(MAX_QUERY_BYTES, True), (MAX_QUERY_BYTES + 1, False)])
def test_a_message_has_an_end(size: int, good: bool) -> None:
    padding = size - len(PLAIN) - len(OPT) - 4
    option = struct.pack("!HH", 12, padding) + bytes(padding)
    whole = header(counts=(1, 0, 0, 1)) + PLAIN[12:] + record(b"\0", 41, option)
    assert len(whole) == size
    assert isinstance(read_query(whole), Query) is good


def test_the_dearest_messages_are_cheap() -> None:
    chain = record(b"\0", 999, b"".join(struct.pack("!H", 0xC000 | TWELVE + 9 + 2 * n) for n in range(1900)))
    last = [record(struct.pack("!H", 0xC000 | TWELVE + 3700), 1)] * (MAX_RECORDS - 1)
    messages = [
        header(counts=(1, 0, 0, MAX_RECORDS)) + PLAIN[12:] + chain + b"".join(last),
        header(counts=(1, 0, 0, 1)) + PLAIN[12:] + record(b"\0", 41, bytes(4 * 1000)),
        header(counts=(1, 65535, 65535, 65535)) + PLAIN[12:] + b"\xc0\x0c" * 2000,
    ]
    begun = time.process_time()
    for message in messages:
        read_query(message)
    assert time.process_time() - begun < 0.05


MUTATIONS = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4)


@given(st.sampled_from([wire_of("app.dev.local"), wire_of("X.test", "HTTPS", use_edns=0, payload=600)]), MUTATIONS)
@example(wire_of("app.dev.local"), [])
@settings(max_examples=examples(300))
def test_what_is_accepted_is_what_dnspython_reads(wire: bytes, mutations: list[tuple[int, int]]) -> None:
    mutated = bytearray(wire)
    for at, byte in mutations:
        mutated[at % len(mutated)] = byte
    found = read_query(bytes(mutated))
    try:
        message = dns.message.from_wire(bytes(mutated))
    except dns.exception.DNSException:
        # It reads records whose content we pass over.
        assert not isinstance(found, Query) or mutated[11] + mutated[9] + mutated[7] > 0
        return
    if isinstance(found, Query):
        assert message.id == int.from_bytes(found.id, "big")
        assert message.question[0].name.to_wire() == found.question[:-4]
        assert (message.question[0].rdtype, message.question[0].rdclass) == (found.rdtype, found.rdclass)
        assert message.edns == (-1 if found.edns is None else found.edns.version)
        if found.edns is not None:
            assert message.payload == found.edns.udp_bytes
            assert bool(message.ednsflags & dns.flags.DO) == found.edns.wants_dnssec
