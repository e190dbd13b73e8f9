"""The ports that `devtls serve` wants: free, or held by a devtls of this CA, of another CA, or by another program.

Owns the meaning of each for the next start. A devtls is known by the certificate that it shows, not by the name of its
process.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from devtls.doctor.health.authority import ProbedCa
from devtls.doctor.health.finding import Finding, Level, Section
from devtls.pki.authority import Authority
from devtls.system.machine.machine import Machine
from devtls.system.machine.port_holder import is_listened_to, port_holder

HTTPS, STAND_IN, HTTP = 443, 8443, 80
_OPEN_THEM = "devtls setup ports"


class PortOwner(Enum):
    """The owner of a port."""

    FREE = "free"
    OURS = "ours"
    OTHER_CA = "another CA's devtls"
    OTHERS = "another program"
    LOST = "a program that nobody reaches"


@dataclass(frozen=True, slots=True)
class PortFacts:
    """One port; `holder` is `nginx (process 12)` or "", `closed` = this user may not listen there."""

    number: int
    held: PortOwner
    holder: str = ""
    closed: bool = False

    @property
    def by(self) -> str:
        """The holder as a part of a sentence."""
        return self.holder or "another program"


@dataclass(frozen=True, slots=True)
class WantedPorts:
    """`https` is what the configuration names (None = the usual one); `pki` is the CA's own port, 0 without a CA."""

    https: int | None = None
    pki: int = 0


def check_ports(ports: Sequence[PortFacts], wanted: WantedPorts) -> Iterator[Finding]:
    """Yield the findings about the owner of each port."""
    by_number = {port.number: port for port in ports}
    serving = [port for port in ports if port.held is PortOwner.OURS]
    for port in serving:
        yield _on_ours(port, wanted)
    for port in ports:
        if port.held is PortOwner.OTHER_CA:
            yield _on_other_ca(port)
    for port in ports:
        if port.held is PortOwner.LOST:
            yield _on_lost(port)
    main = by_number.get(wanted.https if wanted.https is not None else HTTPS)
    if main is not None and not serving:
        yield from _on_https(main, by_number.get(STAND_IN), wanted)
    http = by_number.get(HTTP)
    if http is not None and http is not main and http.holder not in {port.holder for port in serving if port.holder}:
        yield from _on_http(http)
    pki = by_number.get(wanted.pki)
    if pki is not None and pki.held is PortOwner.OTHERS:
        yield _on_pki(pki)


def _found(name: str, level: Level, what: str, port: PortFacts, *reasons: str) -> Finding:
    why, remedy = reasons or ("", "")
    return Finding(name, Section.PORTS, level, what, why, remedy, str(port.number))


def _on_ours(port: PortFacts, wanted: WantedPorts) -> Finding:
    what = f"devtls serve answers on port {port.number} with this CA."
    if port.number == wanted.pki:
        what = f"A devtls with this CA runs{f': {port.holder}' if port.holder else ''}."
    return _found("serve-runs", Level.OK, what, port)


def _on_other_ca(port: PortFacts) -> Finding:
    return _found(
        "serve-of-another-ca",
        Level.TROUBLE,
        f"The devtls on port {port.number} ({port.by}) serves with another CA than the one of this state directory.",
        port,
        "Browsers that trust this CA show a warning page for what it serves.",
        "End it and start devtls serve again; if it is another user's, take another port with --https-port",
    )


def _on_lost(port: PortFacts) -> Finding:
    return _found(
        "port-redirected-away",
        Level.TROUBLE,
        f"Port {port.number} is listened to by {port.by}, but connections to it do not arrive there.",
        port,
        "The system redirects them to another port, where nobody is: two ways of giving devtls the port are in force.",
        "devtls unsetup ports, then devtls setup ports; sudo nft list ruleset shows whose redirect it is",
    )


def _on_https(port: PortFacts, stand_in: PortFacts | None, wanted: WantedPorts) -> Iterator[Finding]:
    if port.held is PortOwner.OTHERS:
        yield _on_taken(port)
    elif port.closed and wanted.https is None:
        yield _found(
            "port-closed",
            Level.NOTE,
            f"Port {port.number} is closed to this user, so devtls serve takes {STAND_IN}.",
            port,
            "Addresses carry the port, and http:// is not redirected.",
            _OPEN_THEM,
        )
        if stand_in is not None and stand_in.held is PortOwner.OTHERS:
            yield _on_taken(stand_in)
    elif port.closed:
        yield _found(
            "port-forbidden",
            Level.WARNING,
            f"Port {port.number}, which the configuration names, is closed to this user.",
            port,
            "devtls serve does not start.",
            _OPEN_THEM,
        )
    elif port.held is PortOwner.FREE:
        yield _found("port-free", Level.OK, f"Port {port.number} is free for devtls serve.", port)


def _on_taken(port: PortFacts) -> Finding:
    other = STAND_IN if port.number != STAND_IN else 0
    return _found(
        "port-taken",
        Level.WARNING,
        f"Port {port.number} belongs to {port.by}.",
        port,
        "devtls serve does not start there.",
        f"Stop it, or devtls serve --https-port {other}",
    )


def _on_http(port: PortFacts) -> Iterator[Finding]:
    if port.held is PortOwner.OTHERS:
        yield _found(
            "redirects-taken",
            Level.NOTE,
            f"Port {port.number} belongs to {port.by}.",
            port,
            "http:// addresses are not redirected to https://.",
            "Stop it if you want that",
        )


def _on_pki(port: PortFacts) -> Finding:
    return _found(
        "pki-port-taken",
        Level.NOTE,
        f"Port {port.number}, where the CA's revocation lists are offered, belongs to {port.by}.",
        port,
        "Clients that insist on such lists (curl and git on Windows) refuse the certificates.",
        "Stop it; or, for a CA with another port, devtls untrust --forget && devtls trust",
    )


_CONNECT_S = 0.5
_HANDSHAKE_S = 2.0
_LOOPBACK = ("127.0.0.1", "::1")
_LOWEST_FREE = 1024


def probe_ports(numbers: Iterable[int], ca: ProbedCa, machine: Machine) -> tuple[PortFacts, ...]:
    """Probe the owner of each port."""
    lowest = _lowest_open(machine)
    return tuple(_look(number, ca, lowest) for number in dict.fromkeys(numbers))


def _look(number: int, ca: ProbedCa, lowest: int) -> PortFacts:
    # Asked by a connection: a redirect leads to somebody although no socket listens on the number.
    address = next((each for each in _LOOPBACK if _listens(each, number)), None)
    if address is None and _is_lost(number):
        return PortFacts(number, PortOwner.LOST, port_holder(number), number < lowest)
    if address is None:
        return PortFacts(number, PortOwner.FREE, closed=number < lowest)
    if ca.authority is not None and number == ca.authority.pki_port:
        held = PortOwner.OURS if _offers_root(address, ca.authority) else PortOwner.OTHERS
    elif number == HTTP:
        held = PortOwner.OTHERS  # there is no certificate to be seen; whose it is, its holder tells
    else:
        held = _whose(address, number, ca)
    # A port that answers, though nobody listens there, is redirected to the stand-in.
    return PortFacts(number, held, port_holder(number if is_listened_to(number) else STAND_IN), number < lowest)


def _is_lost(number: int) -> bool:
    """Say whether somebody listens and is not reached; it may also have begun only just now."""
    return is_listened_to(number) and not any(_listens(address, number) for address in _LOOPBACK)


def _offers_root(address: str, authority: Authority) -> bool:
    """Say whether a devtls of this CA answers on the CA's own port: it hands the root out."""
    asking = HTTPConnection(address, authority.pki_port, timeout=_HANDSHAKE_S)
    try:
        asking.request("GET", "/root.der")
        # One byte more, so that a longer answer is not taken for ours.
        return asking.getresponse().read(len(authority.root_der) + 1) == authority.root_der
    except (OSError, HTTPException):
        return False
    finally:
        asking.close()


def _listens(address: str, number: int) -> bool:
    try:
        socket.create_connection((address, number), _CONNECT_S).close()
    except TimeoutError:
        return True  # a queue that is full belongs to somebody
    except OSError:
        return False
    return True


def _whose(address: str, number: int, ca: ProbedCa) -> PortOwner:
    leaf = _certificate_at(address, number)
    if leaf is None:
        return PortOwner.OTHERS
    if ca.authority is not None and _signed(ca.authority, leaf):
        # An imported CA signs for other programs as well: Vite with a certificate of mkcert is no devtls.
        ours = not ca.authority.imported or port_holder(number).startswith("devtls ")
        return PortOwner.OURS if ours else PortOwner.OTHERS
    return PortOwner.OTHER_CA if _is_of_devtls(leaf) else PortOwner.OTHERS


def _certificate_at(address: str, number: int) -> x509.Certificate | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the question is whose it is, not whether it is good
    try:
        with socket.create_connection((address, number), _CONNECT_S) as plain:
            plain.settimeout(_HANDSHAKE_S)
            with context.wrap_socket(plain) as tls:
                der = tls.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der) if der else None
    except (OSError, ValueError):  # no TLS there, or a certificate that is none
        return None


def _is_of_devtls(leaf: x509.Certificate) -> bool:
    names = leaf.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return any(str(name.value).startswith("devtls ") for name in names)


def _signed(authority: Authority, leaf: x509.Certificate) -> bool:
    try:
        # The signature, not the names: anybody can write our names into a certificate.
        leaf.verify_directly_issued_by(authority.intermediate.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _lowest_open(machine: Machine) -> int:
    """Return the lowest port that this user may listen on (ip_unprivileged_port_start: Linux's ip-sysctl.rst)."""
    if sys.platform == "win32" or machine.platform != "linux" or os.geteuid() == 0:
        return 0
    file = machine.root / "proc/sys/net/ipv4/ip_unprivileged_port_start"
    try:
        return int(Path(file).read_text("ascii"))
    except (OSError, ValueError):
        return _LOWEST_FREE
