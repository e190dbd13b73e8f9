"""From an address to a report: every step that touches the machine or the network, in order.

Owns the order: the server first (without it nothing else is worth its time), then the stores and the path, and at last
the issuers and the verifiers, all at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from devtls.doctor.tls_check.certificate import Certificate, read_certificate, shortened
from devtls.doctor.tls_check.evidence import Evidence, FailureReason, Handshake, HandshakeFailed, LocalCa
from devtls.doctor.tls_check.failure import TlsCheckFailure, explain
from devtls.doctor.tls_check.fetch import Fetcher
from devtls.doctor.tls_check.handshake import CheckTarget, perform_handshake
from devtls.doctor.tls_check.path import find_path
from devtls.doctor.tls_check.report import TlsCheckReport
from devtls.doctor.tls_check.revocation import query_issuers
from devtls.doctor.tls_check.stores import GivenRoots, read_stores
from devtls.doctor.tls_check.verdict import decide
from devtls.doctor.tls_check.verifiers import ask_cryptography, ask_openssl
from devtls.errors import CertificateError, DevtlsError
from devtls.names import DEFAULT_ZONES
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.suffixes import is_registry_suffix
from devtls.system.storage.keystore import Keystore


@dataclass(frozen=True, slots=True)
class CheckEnvironment:
    """The machine that a check runs on."""

    machine: Machine
    runner: Runner
    keystore: Keystore
    given: tuple[GivenRoots, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class TlsCheckResult:
    """The result of a check: a report with its evidence, or the reason why there is none."""

    report: TlsCheckReport | TlsCheckFailure
    evidence: Evidence | None = None
    sent: tuple[Certificate, ...] = ()


def check_server(target: CheckTarget, environment: CheckEnvironment) -> TlsCheckResult:
    """Return the decision of a browser about the server, or the reason why it shows no certificate."""
    local_ca = _local_ca(environment)
    handshake = perform_handshake(target)
    if isinstance(handshake, Handshake) and not handshake.certificates:
        handshake = HandshakeFailed(FailureReason.UNREADABLE, "the server sent none", handshake.ip)
    if isinstance(handshake, HandshakeFailed):
        return TlsCheckResult(explain(target.address, handshake, local_ca))
    sent, unreadable = _read_sent(handshake.certificates)
    if not sent:
        failed = HandshakeFailed(FailureReason.UNREADABLE, shortened(unreadable), handshake.ip)
        return TlsCheckResult(explain(target.address, failed, local_ca))
    evidence = _gather(target, handshake, sent, local_ca, environment)
    return TlsCheckResult(decide(evidence, is_registry_suffix), evidence, sent)


def _local_ca(environment: CheckEnvironment) -> LocalCa:
    """Return this machine's CA; one that cannot be used is none here, and its own commands say why."""
    try:
        if not environment.keystore.exists():
            return LocalCa(DEFAULT_ZONES)
        authority = environment.keystore.load(environment.now)
    except DevtlsError:
        return LocalCa(DEFAULT_ZONES)
    return LocalCa(authority.zones, read_certificate(authority.root_der))


def _read_sent(ders: Sequence[bytes]) -> tuple[tuple[Certificate, ...], str]:
    """Return the certificates that can be read; none, and why, when the server's own cannot."""
    found: list[Certificate] = []
    for position, der in enumerate(ders):
        try:
            found.append(read_certificate(der))
        except CertificateError as error:
            # An unreadable one behind it may be superfluous: browsers build a path from the others.
            if position == 0:
                return (), str(error)
    return tuple(found), ""


def _gather(
    target: CheckTarget,
    handshake: Handshake,
    sent: tuple[Certificate, ...],
    local_ca: LocalCa,
    environment: CheckEnvironment,
) -> Evidence:
    stores = read_stores(environment.machine, environment.runner, environment.given, os.environ)
    anchors, now = stores.anchors, environment.now
    path = find_path(sent, anchors, [local_ca.root] if local_ca.root else [], now)
    # A scope such as %eth0 is no part of the address.
    private = not ip_address(handshake.ip.partition("%")[0]).is_global
    with ThreadPoolExecutor(2) as pool:
        revocations = pool.submit(query_issuers, path, Fetcher(target.timeout_s, private), now)
        openssl = pool.submit(ask_openssl, target, anchors)
        cryptography = ask_cryptography(target.address, sent, anchors, now)
        return Evidence(
            address=target.address,
            handshake=handshake,
            path=path,
            stores=stores.ask(path.last),
            public=stores.is_public(path.last),
            revocations=revocations.result(),
            verifiers=(*openssl.result(), cryptography),
            local_ca=local_ca,
            now=now,
        )
