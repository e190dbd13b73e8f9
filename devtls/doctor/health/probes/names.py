"""Facts about names: what the system's resolver says, how long it takes, and how it is set up."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dns.message import make_query

from devtls.doctor.health.names import Lookup, NameFacts, ResolverFacts
from devtls.doctor.health.probes.bounded import ask_all
from devtls.names import is_wildcard
from devtls.system.changes.resolver.drop_in import DropIn
from devtls.system.changes.resolver.macos import RESOLVER
from devtls.system.changes.resolver.resolved import DELEGATE, DROP_IN

LIMIT_S = 3.0
_ANSWER_S = 0.5
_MOST_NAMES = 30
_LABEL = "devtls-doctor"
"""Stands for any name below a wildcard."""
_ASKING = (DELEGATE, DROP_IN, RESOLVER)
_PORT = re.compile(rb"(?:127\.0\.0\.1:|^port )(\d{1,5})$", re.MULTILINE)


def look_at_names(hosts: Sequence[str]) -> tuple[NameFacts, ...]:
    """Look up each host over both families, all at the same time; `*.name` is asked for by one name below it."""
    names = [(_LABEL + host[1:] if is_wildcard(host) else host, is_wildcard(host)) for host in hosts[:_MOST_NAMES]]
    families = (socket.AF_INET, socket.AF_INET6)
    questions = [partial(look_up, name, family) for name, _ in names for family in families]
    answers = ask_all(questions, LIMIT_S, otherwise=Lookup(took_s=None))
    pairs = zip(answers[::2], answers[1::2], strict=True)
    return tuple(NameFacts(name, v4, v6, wild) for (name, wild), (v4, v6) in zip(names, pairs, strict=True))


def look_up(name: str, family: socket.AddressFamily) -> Lookup:
    """Ask the resolver for one family."""
    began = time.monotonic()
    try:
        answers = socket.getaddrinfo(name, 443, family, socket.SOCK_STREAM)
    except OSError:  # also socket.gaierror: it does not know the name, or nobody knows
        answers = []
    found = dict.fromkeys(str(answer[4][0]) for answer in answers)
    return Lookup(tuple(found), time.monotonic() - began)


def look_at_resolver(system: Path) -> ResolverFacts:
    """Return how names are looked up here."""
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
            asking.connect(("127.0.0.1", port))
            asking.send(question)
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
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
