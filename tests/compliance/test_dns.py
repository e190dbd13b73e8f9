"""The DNS server before real clients: dig and kdig ask it what RFC 8906 8 lists, and every row of our own table.

The server is the one of `devtls serve`, sockets and all; the zones are the usual ones.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import dns.message
import dns.query
import pytest

from devtls.dns.responder import Responder
from devtls.dns.zones import Zones
from devtls.names import DEFAULT_ZONES
from devtls.net.dns import DnsServer, bind_dns

RequireTool = Callable[[str, str], str]

DIG, KDIG = ("dig", "sudo apt-get install bind9-dnsutils"), ("kdig", "sudo apt-get install knot-dnsutils")
SOA = "dev.local. 5 IN SOA dev.local. nobody.invalid. 1 3600 1200 604800 5"


@dataclass(frozen=True)
class DigOutput:
    """What dig printed: the code, the flags, OPT's line and the records of the two sections."""

    text: str

    @property
    def status(self) -> str:
        return str(re.findall(r"status: ([A-Z0-9]+)", self.text)[-1])

    @property
    def flags(self) -> set[str]:
        return set(re.findall(r"^;; flags:([a-z ]*)", self.text, re.MULTILINE)[-1].split())

    @property
    def edns(self) -> str:
        found = re.findall(r"^; EDNS: (.*)$", self.text, re.MULTILINE)
        return found[-1] if found else ""

    def records(self, section: str) -> list[str]:
        found = re.search(rf"^;; {section} SECTION:\n((?:[^;\n].*\n)*)", self.text, re.MULTILINE)
        return [" ".join(line.split()) for line in found[1].splitlines()] if found else []


@pytest.fixture
async def port() -> AsyncIterator[int]:
    faults: list[Exception] = []
    server = DnsServer(bind_dns(0), Responder(Zones(DEFAULT_ZONES)), faults.append)
    await server.start()
    yield server.bound.port
    server.close()
    await asyncio.sleep(0)
    assert not faults


Dig = Callable[..., Awaitable[DigOutput]]


@pytest.fixture
def dig(port: int, require_tool: RequireTool) -> Dig:
    """Return a coroutine function: arguments of dig -> its output."""
    program = require_tool(*DIG)

    async def ask(*arguments: str, host: str = "127.0.0.1") -> DigOutput:
        return DigOutput(await run(program, f"@{host}", "-p", str(port), "+time=5", "+tries=1", *arguments))

    return ask


async def run(*argv: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


RFC_8906 = {
    "+noedns +noad +norec SOA dev.local": ("NOERROR", ""),
    "+noedns +noad +norec A dev.local": ("NOERROR", ""),
    "+noedns +noad +norec TYPE1000 dev.local": ("NOERROR", ""),
    "+noedns +noad +norec +cd SOA dev.local": ("NOERROR", ""),
    "+noedns +norec +ad SOA dev.local": ("NOERROR", ""),
    "+noedns +noad +norec +zflag SOA dev.local": ("NOERROR", ""),
    "+noedns +noad +norec +opcode=15 +header-only": ("NOTIMP", ""),
    "+noedns +noad +norec +tcp SOA dev.local": ("NOERROR", ""),
    "+edns=0 +nocookie +noad +norec SOA dev.local": ("NOERROR", "version: 0, flags:; udp: 1232"),
    "+edns=100 +noednsneg +noad +norec SOA dev.local": ("BADVERS", "version: 0, flags:; udp: 1232"),
    "+edns=0 +noad +norec +ednsopt=100 SOA dev.local": ("NOERROR", "version: 0, flags:; udp: 1232"),
    "+edns=100 +noednsneg +noad +norec +ednsopt=100 SOA dev.local": ("BADVERS", "version: 0, flags:; udp: 1232"),
    "+edns=0 +noad +norec +ednsflags=0x80 SOA dev.local": ("NOERROR", "version: 0, flags:; udp: 1232"),
    "+edns=0 +noad +norec +dnssec SOA dev.local": ("NOERROR", "version: 0, flags: do; udp: 1232"),
    "+edns=0 +noad +norec +bufsize=512 +dnssec +ignore DNSKEY dev.local": (
        "NOERROR",
        "version: 0, flags: do; udp: 1232",
    ),
    "+edns=0 +noad +norec +tcp SOA dev.local": ("NOERROR", "version: 0, flags:; udp: 1232"),
    "+edns=0 +cookie +subnet=0.0.0.0/0 +nsid +expire SOA dev.local": ("NOERROR", "version: 0, flags:; udp: 1232"),
}
"""Command line -> code and OPT line; the answers that have records are looked at below."""


@pytest.mark.parametrize("arguments", RFC_8906)
async def test_the_list_of_rfc_8906(dig: Dig, arguments: str) -> None:
    found = await dig(*arguments.split())
    status, edns = RFC_8906[arguments]
    assert (found.status, found.edns) == (status, edns)
    expected = {"qr"} | ({"aa"} if status == "NOERROR" else set())
    expected |= {"cd"} if "+cd" in arguments else set()
    expected |= {"rd"} if "+norec" not in arguments else set()
    assert found.flags == expected
    has_records = status == "NOERROR"
    if has_records and "SOA" in arguments:
        assert found.records("ANSWER") == [SOA]
    elif has_records and " A " in arguments:
        assert found.records("ANSWER") == ["dev.local. 5 IN A 127.0.0.1"]
    else:
        assert found.records("ANSWER") == []
        assert found.records("AUTHORITY") == [SOA] * has_records
    assert "Warning: " not in found.text
    assert "MBZ" not in found.text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("protocol", ["+notcp", "+tcp"])
@pytest.mark.parametrize("name", ["dev.local", "app.dev.local", "A.b.C.dev.LOCAL", "app.localhost", "test"])
async def test_addresses(dig: Dig, name: str, protocol: str, host: str) -> None:
    for rdtype, address in (("A", "127.0.0.1"), ("AAAA", "::1")):
        found = await dig(protocol, name, rdtype, host=host)
        assert (found.status, found.flags) == ("NOERROR", {"qr", "aa", "rd"})
        assert found.records("ANSWER") == [f"{name}. 5 IN {rdtype} {address}"]
        assert found.records("AUTHORITY") == []


@pytest.mark.parametrize(
    "rdtype", ["HTTPS", "TYPE65", "SVCB", "MX", "TXT", "CNAME", "PTR", "ANY", "SRV", "DS", "TYPE1000"]
)
async def test_everything_else_is_empty(dig: Dig, rdtype: str) -> None:
    for name in ("app.dev.local", "dev.local"):
        found = await dig("+notcp", name, rdtype)
        assert (found.status, found.flags) == ("NOERROR", {"qr", "aa", "rd"})
        assert (found.records("ANSWER"), found.records("AUTHORITY")) == ([], [SOA])


async def test_the_top_of_a_zone(dig: Dig) -> None:
    assert (await dig("dev.local", "SOA")).records("ANSWER") == [SOA]
    assert (await dig("dev.local", "NS")).records("ANSWER") == ["dev.local. 5 IN NS dev.local."]


@pytest.mark.parametrize("question", ["example.com A", "local SOA", ". NS", "-x 127.0.0.1", "-x ::1", "app.test A CH"])
async def test_other_names_and_classes_are_refused_at_once(dig: Dig, question: str) -> None:
    found = await dig(*question.split())
    assert (found.status, found.flags) == ("REFUSED", {"qr", "rd"})
    assert (found.records("ANSWER"), found.records("AUTHORITY")) == ([], [])


async def test_kdig_asks_several_things_on_one_connection(port: int, require_tool: RequireTool) -> None:
    program = require_tool(*KDIG)
    names = [("app.dev.local", "A"), ("app.test", "AAAA"), ("x.localhost", "TYPE65"), ("example.com", "A")]
    asked = [word for pair in names for word in pair]
    found = await run(program, "@127.0.0.1", "-p", str(port), "+tcp", "+keepopen", "+edns=0", "+padding=128", *asked)
    assert re.findall(r"status: (\w+)", found) == ["NOERROR"] * 3 + ["REFUSED"]
    assert re.findall(r"^[^;\s].*", found, re.MULTILINE) == [
        "app.dev.local.      \t5\tIN\tA\t127.0.0.1",
        "app.test.           \t5\tIN\tAAAA\t::1",
        "localhost.          \t5\tIN\tSOA\tlocalhost. nobody.invalid. 1 3600 1200 604800 5",
    ]


async def test_dnspython_over_both_protocols(port: int) -> None:
    query = dns.message.make_query("aPP.dev.LOCAL", "A", use_edns=0, want_dnssec=True)
    for ask in (dns.query.udp, dns.query.tcp):
        answer = await asyncio.to_thread(ask, query, "127.0.0.1", timeout=5, port=port)
        assert answer.answer[0].to_text() == "aPP.dev.LOCAL. 5 IN A 127.0.0.1"
        assert (answer.edns, answer.payload, answer.ednsflags) == (0, 1232, 0x8000)
