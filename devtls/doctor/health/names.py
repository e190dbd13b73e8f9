"""The names of the routes: whether they lead here, quickly, over both families.

Owns the verdict on what the resolver said, and the command that writes lines for both families. Names below localhost
are browsers' own business: they and curl resolve them without asking, so only other programs are spoken of.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dns.message import make_query

from devtls.doctor.health.bounded import probe_all
from devtls.doctor.health.finding import Finding, Level, Section, listed
from devtls.names import is_below, is_wildcard
from devtls.system.changes.resolver.drop_in import DropIn
from devtls.system.changes.resolver.macos import RESOLVER
from devtls.system.changes.resolver.resolved import DELEGATE, DROP_IN

SLOW_S = 1.0
"""A resolver that knows answers in milliseconds; the wait of mDNS is 5 s."""


_SET_UP = "devtls setup names"


@dataclass(frozen=True, slots=True)
class Lookup:
    """The result for one family of addresses: `took_s` None = it did not end within the limit."""

    addresses: tuple[str, ...] = ()
    took_s: float | None = 0.0


@dataclass(frozen=True, slots=True)
class NameFacts:
    """One host name; `wildcard` = it stands for any name below a wildcard route's."""

    host: str
    v4: Lookup
    v6: Lookup
    wildcard: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address of both families."""
        return (*self.v4.addresses, *self.v6.addresses)

    @property
    def slow(self) -> bool:
        """Whether either family kept its caller waiting."""
        return any(each.took_s is None or each.took_s > SLOW_S for each in (self.v4, self.v6))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The addresses that are not on this machine."""
        return tuple(each for each in self.addresses if not _is_loopback(each))


@dataclass(frozen=True, slots=True)
class ResolverFacts:
    """The resolver of this machine.

    `sources` is the line `hosts:` of nsswitch.conf, `ipv6` whether there is ::1, `written` what /etc/hosts says.
    `silent_port` is where `devtls setup names` sends the resolver and nobody answers (0 = somebody does, or it asks
    elsewhere).
    """

    sources: tuple[str, ...] = ()
    ipv6: bool = True
    written: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    silent_port: int = 0


def check_names(names: Sequence[NameFacts], resolver: ResolverFacts) -> Iterator[Finding]:
    """Yield the findings about the names."""
    unanswered = [each for each in names if resolver.silent_port and not each.elsewhere and _is_missing(each)]
    # A resolver that waits for devtls explains slow and lost names: they are not told twice.
    others = [each for each in names if each not in unanswered]
    found = [
        *_on_elsewhere(names, resolver),
        *_on_unanswered(unanswered, resolver.silent_port),
        *_on_slow(others),
        *_on_lost(others, resolver),
        *_on_one_family(names, resolver),
    ]
    if names and not found:
        shown = listed(each.host for each in names)
        found = [Finding("names-fine", Section.NAMES, Level.OK, f"{shown} lead here, over both families.")]
    yield from found


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _on_elsewhere(names: Sequence[NameFacts], resolver: ResolverFacts) -> Iterator[Finding]:
    for each in names:
        if each.elsewhere:
            # The first line for a name counts: another one below it would change nothing.
            written = [address for address in resolver.written.get(each.host, ()) if address in each.elsewhere]
            obstacle = f"Take {each.host} out of the line of {listed(written)} in /etc/hosts"
            yield Finding(
                "name-elsewhere",
                Section.NAMES,
                Level.TROUBLE,
                f"{each.host} leads to {listed(each.elsewhere)}, not to this machine.",
                "Browsers go there, and find what answers there instead of your app.",
                obstacle if written else _SET_UP,
                each.host,
            )


def _is_missing(each: NameFacts) -> bool:
    return each.slow or not each.addresses


def _on_unanswered(names: Sequence[NameFacts], port: int) -> Iterator[Finding]:
    if names:
        hosts = listed(each.host for each in names)
        yield Finding(
            "resolver-unanswered",
            Section.NAMES,
            Level.WARNING,
            f"This machine's resolver asks devtls for {hosts}, and nobody answers on port {port}.",
            "Names that are not in the hosts file resolve while devtls serve runs.",
            "devtls serve",
        )


def _on_slow(names: Sequence[NameFacts]) -> Iterator[Finding]:
    slow = [each for each in names if each.slow and not each.elsewhere]
    if slow:
        times = [look.took_s for each in slow for look in (each.v4, each.v6)]
        known = [took for took in times if took is not None]
        took = "did not end in time" if None in times else f"took {max(known):.1f} s"
        yield Finding(
            "name-slow",
            Section.NAMES,
            Level.WARNING,
            f"Looking up {listed(each.host for each in slow)} {took}.",
            "Each page waits so long: the resolver asks the network, often by mDNS, for a family without an answer.",
            _SET_UP,
        )


def _exact(names: Iterable[NameFacts]) -> list[str]:
    return [each.host for each in names if not each.wildcard]


def _on_lost(names: Sequence[NameFacts], resolver: ResolverFacts) -> Iterator[Finding]:
    lost = [each for each in names if not each.addresses and not each.slow]
    others = [each for each in lost if not is_below(each.host, "localhost")]
    if hosts := _exact(others):
        mdns = [host for host in hosts if _belongs_to_mdns(host, resolver)]
        why = (
            f" {listed(mdns)} has two labels and ends in .local: this machine asks for it by mDNS alone."
            if mdns
            else ""
        )
        yield Finding(
            "name-lost",
            Section.NAMES,
            Level.WARNING,
            f"{listed(hosts)} {'does' if len(hosts) == 1 else 'do'} not resolve on this machine.",
            f"Browsers say that the site cannot be found.{why}",
            _SET_UP,
        )
    if wild := [each.host for each in others if each.wildcard]:
        yield Finding(
            "wildcard-lost",
            Section.NAMES,
            Level.NOTE,
            f"Names below {listed(host.partition('.')[2] for host in wild)} do not resolve.",
            "/etc/hosts knows no wildcards; some resolvers do.",
            _SET_UP,
        )
    if own := [each.host for each in lost if is_below(each.host, "localhost")]:
        yield Finding(
            "localhost-name-lost",
            Section.NAMES,
            Level.NOTE,
            f"{listed(own)} {'is' if len(own) == 1 else 'are'} known to browsers and curl alone.",
            "Other programs ask the resolver, and it does not know names below localhost.",
            _SET_UP,
        )


def _belongs_to_mdns(host: str, resolver: ResolverFacts) -> bool:
    """nss-mdns's minimal form takes names of exactly two labels, and its NOTFOUND ends the search."""
    if not any(source.startswith("mdns") and source.endswith("_minimal") for source in resolver.sources):
        return False
    return host.endswith(".local") and host.count(".") == 1


def _on_one_family(names: Sequence[NameFacts], resolver: ResolverFacts) -> Iterator[Finding]:
    if not resolver.ipv6:
        return
    for family, missing in (("127.0.0.1", "::1"), ("::1", "127.0.0.1")):
        half = [each.host for each in names if not each.elsewhere and not each.wildcard and _only(each, family)]
        if half:
            local = any(is_below(host, "local") for host in half)
            yield Finding(
                "name-one-family",
                Section.NAMES,
                Level.WARNING if local else Level.NOTE,
                f"{listed(half)} {'leads' if len(half) == 1 else 'lead'} to {family}, but not to {missing}.",
                "Many resolvers ask the network for the other family; with names below .local that can take 5 s.",
                _SET_UP,
                family,
            )


def _only(each: NameFacts, family: str) -> bool:
    there, lacking = (each.v4, each.v6) if family == "127.0.0.1" else (each.v6, each.v4)
    return bool(there.addresses) and not lacking.addresses and not each.slow


LIMIT_S = 3.0
_ANSWER_S = 0.5
# Two threads for each.
_MOST_NAMES = 30
_LABEL = "devtls-doctor"
"""Stands for any name below a wildcard."""
_ASKING = (DELEGATE, DROP_IN, RESOLVER)
_PORT = re.compile(rb"(?:127\.0\.0\.1:|^port )(\d{1,5})$", re.MULTILINE)


def probe_names(hosts: Sequence[str]) -> tuple[NameFacts, ...]:
    """Look up each host over both families, all at the same time; `*.name` is asked for by one name below it."""
    names = [(_LABEL + host[1:] if is_wildcard(host) else host, is_wildcard(host)) for host in hosts[:_MOST_NAMES]]
    families = (socket.AF_INET, socket.AF_INET6)
    questions = [partial(look_up, name, family) for name, _ in names for family in families]
    answers = probe_all(questions, LIMIT_S, otherwise=Lookup(took_s=None))
    pairs = zip(answers[::2], answers[1::2], strict=True)
    return tuple(NameFacts(name, v4, v6, wild) for (name, wild), (v4, v6) in zip(names, pairs, strict=True))


def look_up(name: str, family: socket.AddressFamily) -> Lookup:
    """Look a name up for one family of addresses."""
    began = time.monotonic()
    try:
        # One family at a time: asked for both, the slow one would hide behind the other.
        answers = socket.getaddrinfo(name, 443, family, socket.SOCK_STREAM)
    except OSError:  # also socket.gaierror: it does not know the name, or nobody knows
        answers = []
    found = dict.fromkeys(str(answer[4][0]) for answer in answers)
    return Lookup(tuple(found), time.monotonic() - began)


def probe_resolver(system: Path) -> ResolverFacts:
    """Probe the resolver of this machine."""
    port = asked_port(system)
    silent = port if port and not _answers(port) else 0
    return ResolverFacts(_sources(system / "etc/nsswitch.conf"), _has_ipv6(), _written(system / "etc/hosts"), silent)


def asked_port(system: Path) -> int:
    """Return the port at which `devtls setup names` makes the resolver ask devtls, 0 if it does not."""
    for recipe in _ASKING:
        for content in DropIn(recipe, system).probe().ours.values():
            if named := _PORT.search(content):
                return int(named[1])
    return 0


def _answers(port: int) -> bool:
    """Say whether a DNS server answers there, whatever it says."""
    question = make_query("localhost", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_ANSWER_S)
        try:
            # Connected, so that a closed port is an error at once (udp(7)) instead of a wait.
            asking.connect(("127.0.0.1", port))
            asking.send(question)
            # 512 bytes is the most over UDP without EDNS; the first two are the ID (RFC 1035 sections 4.2.1, 4.1.1).
            return asking.recv(512)[:2] == question[:2]
        except OSError:
            return False


def _sources(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    return next((tuple(line.split()[1:]) for line in lines if line.startswith("hosts:")), ())


def _written(file: Path) -> dict[str, tuple[str, ...]]:
    """Return the addresses that the hosts file has for each name."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            found[name.lower()] = (*found.get(name.lower(), ()), address)
    return found


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            # Kernels with ipv6.disable_ipv6=1 have the family, but not the address.
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
