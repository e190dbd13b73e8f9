"""From an address to a report: asks in order, judges once.

Owns the order of what touches the machine and the network: the server first (without it nothing else is worth its
time), then the stores, the path, and at last who has more to say about that path, all at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from devtls.doctor.tls_check.certificate import Certificate, read_certificate, shortened
from devtls.doctor.tls_check.evidence import Evidence, Handshake, HandshakeFailed, Ours, Reason
from devtls.doctor.tls_check.failure import Failure, explain
from devtls.doctor.tls_check.fetch import Fetcher
from devtls.doctor.tls_check.judge import judge
from devtls.doctor.tls_check.look_up import look_up
from devtls.doctor.tls_check.meet import Target, meet
from devtls.doctor.tls_check.opinions import ask_cryptography, ask_openssl
from devtls.doctor.tls_check.path import find_path
from devtls.doctor.tls_check.report import Report
from devtls.doctor.tls_check.stores import Given, read_stores
from devtls.errors import CertificateError, DevtlsError
from devtls.names import DEFAULT_ZONES
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.suffixes import is_registry_suffix
from devtls.system.storage.keystore import Keystore


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a check needs of the machine that it runs on."""

    machine: Machine
    runner: Runner
    keystore: Keystore
    given: tuple[Given, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """How a check ended: with a report and what it rests on, or with why there is none."""

    report: Report | Failure
    evidence: Evidence | None = None
    sent: tuple[Certificate, ...] = ()


def examine(target: Target, around: Surroundings) -> Finding:
    """Return what a browser would decide about the server, or why it shows no certificate."""
    ours = _read_ours(around)
    met = meet(target)
    if isinstance(met, Handshake) and not met.certificates:
        met = HandshakeFailed(Reason.UNREADABLE, "the server sent none", met.ip)
    if isinstance(met, HandshakeFailed):
        return Finding(explain(target.address, met, ours))
    sent, unreadable = _read_sent(met.certificates)
    if not sent:
        failed = HandshakeFailed(Reason.UNREADABLE, shortened(unreadable), met.ip)
        return Finding(explain(target.address, failed, ours))
    evidence = _gather(target, met, sent, ours, around)
    return Finding(judge(evidence, is_registry_suffix), evidence, sent)


def _read_ours(around: Surroundings) -> Ours:
    """Return this machine's CA; one that cannot be used is none here, and its own commands say why."""
    try:
        if not around.keystore.exists():
            return Ours(DEFAULT_ZONES)
        authority = around.keystore.load(around.now)
    except DevtlsError:
        return Ours(DEFAULT_ZONES)
    return Ours(authority.zones, read_certificate(authority.root_der))


def _read_sent(ders: Sequence[bytes]) -> tuple[tuple[Certificate, ...], str]:
    """Return the certificates that can be read; none, and why, when the server's own cannot."""
    found: list[Certificate] = []
    for position, der in enumerate(ders):
        try:
            found.append(read_certificate(der))
        except CertificateError as error:
            if position == 0:
                return (), str(error)
    return tuple(found), ""


def _gather(
    target: Target, met: Handshake, sent: tuple[Certificate, ...], ours: Ours, around: Surroundings
) -> Evidence:
    stores = read_stores(around.machine, around.runner, around.given, os.environ)
    anchors, now = stores.anchors, around.now
    path = find_path(sent, anchors, [ours.root] if ours.root else [], now)
    private = not ip_address(met.ip.partition("%")[0]).is_global
    with ThreadPoolExecutor(2) as pool:
        revocations = pool.submit(look_up, path, Fetcher(target.timeout_s, private), now)
        openssl = pool.submit(ask_openssl, target, anchors)
        cryptography = ask_cryptography(target.address, sent, anchors, now)
        return Evidence(
            address=target.address,
            meeting=met,
            path=path,
            stores=stores.ask(path.last),
            public=stores.is_public(path.last),
            revocations=revocations.result(),
            opinions=(*openssl.result(), cryptography),
            ours=ours,
            now=now,
        )
