"""Every row of the table of answers, for bytes that came from dnspython and bytes that came from nowhere."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtls.dns import answers
from devtls.dns import responder as responder_module
from devtls.dns.responder import MOST_REMEMBERED, PLAIN_UDP_BYTES, Responder
from devtls.dns.zones import Zones
from devtls.names import Hostname
from tests.dns.asking import OPT, SOA_TEXT, ZONES, ask, header, lines, question, wire_of
from tests.effort import examples

ZONE_OF = {
    "dev.local": "dev.local.",
    "app.dev.local": "dev.local.",
    "a.b.c.dev.local": "dev.local.",
    "localhost": "localhost.",
    "app.localhost": "localhost.",
    "test": "test.",
    "app.test": "test.",
    "_x._tcp.app.test": "test.",
    "my_app.test": "test.",
    "*.test": "test.",
}
OUTSIDE = [
    ".", "local", "example.com", "xdev.local", "dev.local.example", "1.0.0.127.in-addr.arpa", "localhos", "tests",
    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
]  # fmt: skip
EMPTY_TYPES = [
    "HTTPS", "SVCB", "MX", "TXT", "CNAME", "PTR", "ANY", "SRV", "CAA", "DS", "DNSKEY", "RRSIG", "NSEC", "NAPTR", "AXFR",
    "IXFR", "TYPE0", "OPT", "TYPE1000", "TYPE65535",
]  # fmt: skip
FLAGS = dns.flags


@pytest.fixture
def responder() -> Responder:
    return Responder(ZONES)


def bits(answer: dns.message.Message) -> int:
    """Return the flags alone: dnspython keeps opcode and code among them."""
    return answer.flags & 0x87F0


def soa(zone: str) -> str:
    return f"{zone} 5 IN SOA {zone} {SOA_TEXT}"


@pytest.mark.parametrize("name", ZONE_OF)
def test_names_of_a_zone_lead_to_this_machine(responder: Responder, name: str) -> None:
    for rdtype, address in (("A", "127.0.0.1"), ("AAAA", "::1")):
        answer = ask(responder, name, rdtype)
        assert answer.rcode() == dns.rcode.NOERROR
        assert bits(answer) == FLAGS.QR | FLAGS.AA | FLAGS.RD
        assert lines(answer.answer) == [f"{name}. 5 IN {rdtype} {address}"]
        assert lines(answer.authority) == lines(answer.additional) == []


@pytest.mark.parametrize("rdtype", EMPTY_TYPES)
@pytest.mark.parametrize("name", ["dev.local", "app.dev.local", "a.b.test"])
def test_every_other_type_is_empty_and_never_nxdomain(responder: Responder, name: str, rdtype: str) -> None:
    answer = ask(responder, name, rdtype)
    assert answer.rcode() == dns.rcode.NOERROR
    assert bits(answer) == FLAGS.QR | FLAGS.AA | FLAGS.RD
    assert lines(answer.answer) == []
    assert lines(answer.authority) == [soa(ZONE_OF.get(name, "test."))]


@pytest.mark.parametrize("zone", ["dev.local", "localhost", "test"])
def test_a_zone_has_soa_and_ns_at_its_top_alone(responder: Responder, zone: str) -> None:
    assert lines(ask(responder, zone, "SOA").answer) == [soa(zone + ".")]
    assert lines(ask(responder, zone, "NS").answer) == [f"{zone}. 5 IN NS {zone}."]
    for rdtype in ("SOA", "NS"):
        assert lines(ask(responder, f"app.{zone}", rdtype).answer) == []
        assert lines(ask(responder, f"app.{zone}", rdtype).authority) == [soa(zone + ".")]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("rdtype", ["A", "AAAA", "HTTPS", "SOA", "PTR", "ANY", "NS"])
def test_names_outside_are_refused(responder: Responder, name: str, rdtype: str) -> None:
    answer = ask(responder, name, rdtype)
    assert answer.rcode() == dns.rcode.REFUSED
    assert bits(answer) == FLAGS.QR | FLAGS.RD
    assert not (answer.answer or answer.authority or answer.additional)


@pytest.mark.parametrize("rdclass", ["CH", "HS", "ANY", "NONE", "CLASS0", "CLASS999"])
def test_other_classes_are_refused(responder: Responder, rdclass: str) -> None:
    answer = ask(responder, "app.test", "A", rdclass)
    assert answer.rcode() == dns.rcode.REFUSED
    assert not (answer.answer or answer.authority)


def test_a_dot_inside_a_label_is_no_border(responder: Responder) -> None:
    assert ask(responder, r"x\.dev.local", "A").rcode() == dns.rcode.REFUSED
    assert ask(responder, r"a\.b.dev.local", "A").rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("first", ["aPp.dEv.LoCaL", "app.dev.local"])
def test_the_spelling_of_a_name_comes_back_also_from_memory(responder: Responder, first: str) -> None:
    for name in (first, "APP.dev.local", "app.DEV.LOCAL", "app.dev.local"):
        for rdtype in ("A", "HTTPS"):
            wire = wire_of(name, rdtype)
            found = responder.answer(wire)
            assert found is not None
            assert found[12 : len(wire)] == wire[12:]
            answer = dns.message.from_wire(found)
            for rrset in answer.answer:
                assert rrset.name.to_text() == name + "."


@pytest.mark.parametrize("flag", ["RD", "CD", "AD", "TC", "AA", "RA"])
def test_flags(responder: Responder, flag: str) -> None:
    wire = header(int(FLAGS.from_text(flag))) + question(b"app", b"test")
    found = responder.answer(wire)
    assert found is not None
    echoed = FLAGS.from_text(flag) if flag in ("RD", "CD") else 0
    assert int.from_bytes(found[2:4], "big") == FLAGS.QR | FLAGS.AA | echoed


def test_the_reserved_bit_and_a_code_in_a_query_do_not_come_back(responder: Responder) -> None:
    found = responder.answer(header(0x004F) + question(b"app", b"test"))
    assert found is not None
    assert found[2:4] == b"\x84\x00"


def test_without_opt_there_is_none(responder: Responder) -> None:
    assert ask(responder, "app.test").edns == -1


@pytest.mark.parametrize("name", ["app.test", "example.com"])
def test_opt_is_answered_by_opt(responder: Responder, name: str) -> None:
    kinds = (dns.edns.OptionType.make(65001), dns.edns.OptionType.COOKIE)
    options = [dns.edns.GenericOption(kind, b"12345678") for kind in kinds]
    for payload in (0, 512, 1232, 4096, 65535):
        for ednsflags in (0, 0x8000, 0x7FFF, 0xFFFF):
            answer = ask(responder, name, use_edns=0, payload=payload, ednsflags=ednsflags, options=options)
            assert (answer.edns, answer.payload, answer.options) == (0, 1232, ())
            assert answer.ednsflags == ednsflags & 0x8000


@pytest.mark.parametrize("version", [1, 100, 255])
@pytest.mark.parametrize("name", ["app.test", "example.com"])
def test_later_versions_of_edns_are_told_ours(responder: Responder, name: str, version: int) -> None:
    answer = ask(responder, name, use_edns=version, ednsflags=0x8000)
    assert answer.rcode() == dns.rcode.BADVERS
    assert (answer.edns, answer.ednsflags & 0xFFFF) == (0, 0x8000)
    assert not (answer.answer or answer.authority)
    assert not answer.flags & FLAGS.AA


def test_what_is_no_query_gets_a_header_or_nothing(responder: Responder) -> None:
    assert responder.answer(b"") is None
    assert responder.answer(header()[:11]) is None
    assert responder.answer(header(0x8000) + question(b"test")) is None
    assert responder.answer(header(counts=(0, 0, 0, 0))) == header(0x8001, (0, 0, 0, 0))
    assert responder.answer(header(0x2900) + question(b"test")) == header(0xA904, (0, 0, 0, 0))
    two = header(counts=(1, 0, 0, 2)) + question(b"test") + OPT * 2
    assert responder.answer(two) == header(0x8001, (0, 0, 0, 0))


def test_the_id_is_that_of_the_query_also_from_memory(responder: Responder) -> None:
    for number in (0, 1, 0xFFFF):
        found = responder.answer(header(number=number) + question(b"app", b"test"))
        assert found is not None
        assert found[:2] == number.to_bytes(2, "big")


def test_an_answer_is_remembered_for_everything_that_it_depends_on(responder: Responder) -> None:
    """Each of these differs in one thing; asked twice in turn, each gets its own answer."""
    queries = [
        wire_of("app.test"), wire_of("app.test", "AAAA"), wire_of("app.test", "A", "CH"), wire_of("b.test"),
        wire_of("app.test", flags=0), wire_of("app.test", flags=FLAGS.CD), wire_of("app.test", use_edns=0),
        wire_of("app.test", want_dnssec=True), wire_of("app.test", use_edns=1), wire_of("a.pp.test"),
        wire_of("app.test", "TYPE65"), wire_of("app.test", "TYPE97"),
    ]  # fmt: skip
    first = [responder.answer(wire) for wire in queries]
    fresh = [Responder(ZONES).answer(wire) for wire in queries]
    assert [responder.answer(wire) for wire in queries] == first == fresh


def test_a_message_is_made_once(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    real = answers.render

    def render(message: dns.message.QueryMessage, max_bytes: int) -> bytes:
        nonlocal made
        made += 1
        return real(message, max_bytes)

    monkeypatch.setattr(responder_module, "render", render)
    for number, name in enumerate(("app.test", "APP.test", "app.TEST") * 5):
        responder.answer(header(number=number) + wire_of(name)[12:])
    for payload in (1232, 2000, 4096):
        responder.answer(wire_of("app.test", use_edns=0, payload=payload))
    for payload in (0, 512, 1231):
        responder.answer(wire_of("app.test", use_edns=0, payload=payload))
    responder.answer(wire_of("app.test", use_edns=0), over_tcp=True)
    assert made == 4


def test_the_memory_is_bounded_and_forgets_what_was_asked_for_longest_ago(responder: Responder) -> None:
    responder.answer(wire_of("kept.test"))
    for number in range(MOST_REMEMBERED * 2):
        responder.answer(wire_of(f"a{number}.test"))
        if number % 100 == 0:
            responder.answer(wire_of("kept.test"))
    assert len(responder._remembered) == MOST_REMEMBERED
    names = {key[0] for key in responder._remembered}
    assert b"\4kept\4test\0" in names
    assert b"\2a1\4test\0" not in names


def test_the_longest_answers_fit_into_every_datagram() -> None:
    """So the mark TC is never set, however little a client takes."""
    zone = Hostname(".".join(["z" * 63, "z" * 63, "z" * 63, "z" * 61]))
    long = Responder(Zones((zone, Hostname("test"))))
    below = ".".join(["a" * 63, "a" * 63, "a" * 63, "a" * 56, "test"])
    plain: dict[str, object] = {}
    for name in (zone, below):
        for rdtype in ("A", "AAAA", "SOA", "NS", "ANY"):
            for more in (plain, {"use_edns": 0, "payload": 0, "want_dnssec": True}):
                found = long.answer(wire_of(name, rdtype, **more))
                assert found is not None
                assert len(found) <= PLAIN_UDP_BYTES
                assert not dns.message.from_wire(found).flags & FLAGS.TC


# -- whatever comes ---------------------------------------------------------------------------------------------------

NAMES = [dns.name.from_text(zone) for zone in ("dev.local", "localhost", "test")]


def check_against_the_table(wire: bytes, found: bytes | None) -> None:
    """Fail unless `found` is the answer that the table has for `wire`."""
    if found is None:
        assert len(wire) < 12 or wire[2] & 0x80
        return
    assert len(wire) >= 12
    assert not wire[2] & 0x80
    assert found[:2] == wire[:2]
    answer = dns.message.from_wire(found)
    assert answer.flags & FLAGS.QR
    assert not answer.flags & (FLAGS.RA | FLAGS.AD | FLAGS.TC | 0x40)
    match answer.rcode():
        case dns.rcode.FORMERR | dns.rcode.NOTIMP as code:
            assert len(found) == 12
            assert (code == dns.rcode.NOTIMP) == bool(wire[2] & 0x78)
        case dns.rcode.REFUSED | dns.rcode.BADVERS as code:
            assert not answer.flags & FLAGS.AA
            assert not (answer.answer or answer.authority)
            asked = answer.question[0]
            outside = asked.rdclass != dns.rdataclass.IN or not any(asked.name.is_subdomain(zone) for zone in NAMES)
            assert outside or code == dns.rcode.BADVERS
        case code:
            assert code == dns.rcode.NOERROR
            check_a_positive_answer(wire, found, answer)


def check_a_positive_answer(wire: bytes, found: bytes, answer: dns.message.Message) -> None:
    asked = answer.question[0]
    name = asked.name.to_wire() or b""
    assert found[12 : 16 + len(name)] == wire[12 : 16 + len(name)]
    assert asked.rdclass == dns.rdataclass.IN
    assert answer.flags & FLAGS.AA
    zone = next(zone for zone in NAMES if asked.name.is_subdomain(zone))
    addresses = {dns.rdatatype.A: "127.0.0.1", dns.rdatatype.AAAA: "::1"}
    if asked.rdtype in addresses:
        assert [rdata.to_text() for rrset in answer.answer for rdata in rrset] == [addresses[asked.rdtype]]
    elif asked.rdtype in (dns.rdatatype.SOA, dns.rdatatype.NS) and asked.name == zone:
        assert [(rrset.name, rrset.rdtype) for rrset in answer.answer] == [(zone, asked.rdtype)]
    else:
        assert not answer.answer
        assert [(rrset.name, rrset.rdtype) for rrset in answer.authority] == [(zone, dns.rdatatype.SOA)]


TYPES = st.sampled_from([1, 2, 6, 28, 65, 255])
SHARED = Responder(ZONES)
"""One for all examples, so that what one leaves in memory meets the next."""


@given(st.binary(max_size=600), st.booleans())
@settings(max_examples=examples(500))
def test_any_bytes(wire: bytes, over_tcp: bool) -> None:
    check_against_the_table(wire, SHARED.answer(wire, over_tcp=over_tcp))


@st.composite
def changed_queries(draw: st.DrawFn) -> bytes:
    """A query with any type and flags, with a few bytes changed, and perhaps cut."""
    name = dns.name.from_text(
        draw(st.sampled_from(["app.dev.local", "DEV.local", "localhost", "example.com", ".", "a.b.test"]))
    )
    asked = (name.to_wire() or b"") + struct.pack(
        "!2H", draw(st.integers(0, 65535) | TYPES), draw(st.sampled_from([1, 1, 1, 3]))
    )
    opts = draw(st.sampled_from([[], [OPT], [OPT[:5] + b"\0\1" + OPT[7:]], [OPT, OPT], [OPT[:-2] + b"\0\4\0\x09\0\0"]]))
    flags = draw(st.integers(0, 0x7FFF) | st.sampled_from([0, 0x0100, 0x0110]))
    wire = bytearray(header(flags, (1, 0, 0, len(opts))) + asked + b"".join(opts))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=3)):
        wire[at % len(wire)] = byte
    return bytes(wire[: len(wire) - draw(st.integers(0, 3))])


@given(changed_queries(), st.booleans())
@settings(max_examples=examples(500))
def test_queries_that_were_changed_in_transit(wire: bytes, over_tcp: bool) -> None:
    check_against_the_table(wire, SHARED.answer(wire, over_tcp=over_tcp))
