"""Facts about ports: does somebody listen, who, and whose certificate does it show.

Owns one short connection to each address of a port. Refuses to bind anything: that could be in the way of a start.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from devtls.doctor.health.ports import HTTP, STAND_IN, Held, PortFacts
from devtls.doctor.health.probes.authority import Ca
from devtls.pki.authority import Authority
from devtls.system.machine.machine import Machine
from devtls.system.machine.port_holder import is_listened_to, port_holder

_CONNECT_S = 0.5
_HANDSHAKE_S = 2.0
_LOOPBACK = ("127.0.0.1", "::1")
_LOWEST_FREE = 1024


def look_at_ports(numbers: Iterable[int], ca: Ca, machine: Machine) -> tuple[PortFacts, ...]:
    """Return who has each port."""
    lowest = _lowest_open(machine)
    return tuple(_look(number, ca, lowest) for number in dict.fromkeys(numbers))


def _look(number: int, ca: Ca, lowest: int) -> PortFacts:
    address = next((each for each in _LOOPBACK if _listens(each, number)), None)
    if address is None and _is_lost(number):
        return PortFacts(number, Held.LOST, port_holder(number), number < lowest)
    if address is None:
        return PortFacts(number, Held.FREE, closed=number < lowest)
    if ca.authority is not None and number == ca.authority.pki_port:
        held = Held.OURS if _offers_root(address, ca.authority) else Held.OTHERS
    elif number == HTTP:
        held = Held.OTHERS  # there is no certificate to be seen; whose it is, its holder tells
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


def _whose(address: str, number: int, ca: Ca) -> Held:
    leaf = _certificate_at(address, number)
    if leaf is None:
        return Held.OTHERS
    if ca.authority is not None and _signed(ca.authority, leaf):
        # An imported CA signs for other programs as well: Vite with a certificate of mkcert is no devtls.
        ours = not ca.authority.imported or port_holder(number).startswith("devtls ")
        return Held.OURS if ours else Held.OTHERS
    return Held.OTHER_CA if _is_of_devtls(leaf) else Held.OTHERS


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
