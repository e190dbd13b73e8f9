"""What the zones hold, and how a message is made to fit."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from devtls.dns.answers import ZoneAnswers, render
from devtls.dns.query import Query
from devtls.dns.zones import Zones
from devtls.names import Hostname
from tests.dns.asking import SOA_TEXT, lines, question


def answer(zones: Zones, *labels: bytes, rdtype: int = 1) -> dns.message.QueryMessage:
    asked = question(*labels, rdtype=rdtype)
    return ZoneAnswers(zones).answer(Query(b"id", 0, asked, asked[:-4], rdtype, 1, None))


def test_the_longest_zone_answers() -> None:
    zones = Zones((Hostname("dev.local"), Hostname("shop.dev.local"), Hostname("test")))
    for labels, zone in (
        ((b"a", b"dev", b"local"), "dev.local."),
        ((b"shop", b"dev", b"local"), "shop.dev.local."),
        ((b"a", b"SHOP", b"dev", b"local"), "shop.dev.local."),
    ):
        assert lines(answer(zones, *labels, rdtype=16).authority) == [f"{zone} 5 IN SOA {zone} {SOA_TEXT}"]


def test_a_family_without_a_listener_has_no_address() -> None:
    names = (Hostname("test"),)
    for rdtype, zones in ((1, Zones(names, ipv4=None)), (28, Zones(names, ipv6=None))):
        found = answer(zones, b"app", b"test", rdtype=rdtype)
        assert found.rcode() == 0
        assert lines(found.answer) == []
        assert lines(found.authority) == [f"test. 5 IN SOA test. {SOA_TEXT}"]


def test_the_address_is_that_of_the_listener() -> None:
    found = answer(Zones((Hostname("test"),), ipv4="127.0.0.9"), b"test")
    assert lines(found.answer) == ["test. 5 IN A 127.0.0.9"]


def test_without_zones_everything_is_refused() -> None:
    assert answer(Zones(()), b"test").rcode() == dns.rcode.REFUSED


def test_what_does_not_fit_is_marked_and_whole_over_tcp() -> None:
    message = answer(Zones((Hostname("test"),)), b"test")
    name = message.question[0].name
    many = [f"127.0.{n >> 8}.{n & 255}" for n in range(1000)]
    message.answer = [dns.rrset.from_text_list(name, 5, "IN", "A", many)]
    for limit in (512, 1232):
        cut = render(message, limit)
        assert len(cut) <= limit
        read = dns.message.from_wire(cut)
        assert read.flags & dns.flags.TC
        assert read.question == message.question
    whole = dns.message.from_wire(render(message, 65_535))
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer[0]) == 1000
