"""The reasons why no certificate was shown, with the next steps: no connection, or a server that ended the handshake.

Owns the words. Knows devtls's own reasons for each: a proxy that does not run, a name outside the zones.
"""

from __future__ import annotations

from dataclasses import dataclass

from devtls.doctor.tls_check.address import Address
from devtls.doctor.tls_check.evidence import FailureReason, HandshakeFailed, LocalCa
from devtls.names import is_below, zone_of


@dataclass(frozen=True, slots=True)
class TlsCheckFailure:
    """One sentence, and the next steps."""

    reason: FailureReason
    sentence: str
    advice: tuple[str, ...]


def explain(address: Address, failed: HandshakeFailed, local_ca: LocalCa) -> TlsCheckFailure:
    """Return the reason why `address` showed no certificate."""
    sentence, advice = _words(address, failed, local_ca)
    return TlsCheckFailure(failed.reason, sentence, advice)


def _words(address: Address, failed: HandshakeFailed, local_ca: LocalCa) -> tuple[str, tuple[str, ...]]:
    host, where = str(address.host), f"{address.host}, port {address.port},"
    detail = f" ({failed.detail})" if failed.detail else ""
    match failed.reason:
        case FailureReason.UNKNOWN_NAME:
            return f"{host} does not resolve on this machine{detail}.", _on_name(address, local_ca)
        case FailureReason.REFUSED:
            return f"Nothing listens on port {address.port} of {host} ({failed.ip}).", _on_port(
                address, failed, local_ca
            )
        case FailureReason.UNREACHABLE:
            return f"{where} cannot be reached{detail}.", (
                "Look at the network: is there a VPN or a firewall between?",
            )
        case FailureReason.SILENT:
            return f"{where} does not answer in time.", ("Try again with a longer --timeout, and look for a firewall.",)
        case FailureReason.CUT:
            return f"{where} accepted the connection and cut it before showing a certificate.", _on_cut()
        case FailureReason.PLAIN_HTTP:
            return f"{where} speaks plain HTTP, not TLS.", _on_plain_http(address)
        case FailureReason.NOT_TLS:
            return f"{where} speaks something else than TLS{detail}.", (
                "Look up which port of the server is for https.",
            )
        case FailureReason.UNRECOGNIZED_NAME:
            return (
                f"The server knows no site of the name {host}: it answered with the alert unrecognized_name.",
                _on_unrecognized(address, local_ca),
            )
        case FailureReason.NO_SHARED_PROTOCOL:
            return (
                f"{where} shares no TLS version, cipher or key type with browsers{detail}.",
                ("Switch TLS 1.2 and 1.3 on in the server, and give it an ECDSA P-256 or RSA certificate.",),
            )
        case FailureReason.WANTS_CERTIFICATE:
            return f"{where} wants a certificate of the client's first.", ("Open it in a browser that holds one.",)
        case FailureReason.OTHER_ALERT:
            return f"{where} ended the TLS handshake{detail}.", ("Read the server's own log: it knows why.",)
        case FailureReason.UNREADABLE:
            return f"{where} shows a certificate that cannot be read{detail}.", ("Have a new certificate issued.",)


def _on_name(address: Address, local_ca: LocalCa) -> tuple[str, ...]:
    authority = address.authority
    if not zone_of(str(address.host), local_ca.zones):
        return ("Check the spelling.", f"To ask a certain machine: devtls check {authority} --connect ADDRESS")
    set_up = "devtls setup names makes it resolve, once a route has that name (devtls add makes one)."
    return (set_up, f"Or check it without the name: devtls check {authority} --connect 127.0.0.1")


def _on_port(address: Address, failed: HandshakeFailed, local_ca: LocalCa) -> tuple[str, ...]:
    elsewhere = (
        f"Port {failed.open_port} listens there: devtls check {address.with_port(failed.open_port).authority}",
    )
    local = bool(zone_of(str(address.host), local_ca.zones)) or failed.ip.startswith("127.") or failed.ip == "::1"
    if failed.open_port:
        return elsewhere
    if local:
        return ("devtls serve app=3000 starts the proxy (it tells its port), if it is the one that is missing.",)
    return ("Check the port, and whether the server runs.",)


def _on_cut() -> tuple[str, ...]:
    return ("Read the server's own log; a server that expects another protocol, or another name, does this.",)


def _on_plain_http(address: Address) -> tuple[str, ...]:
    if is_below(str(address.host), "localhost") or str(address.host).startswith("127.") or str(address.host) == "::1":
        return (f"devtls serve app={address.port} puts https in front of it: https://app.localhost",)
    return ("Find out which port of the server is for https (usually 443).",)


def _on_unrecognized(address: Address, local_ca: LocalCa) -> tuple[str, ...]:
    zones, host = ", ".join(local_ca.zones), str(address.host)
    if zone_of(host, local_ca.zones):
        return (
            f"{host} lies in a zone of devtls ({zones}): another server, or a devtls serve with an older CA, answers "
            "on this port. Restart devtls serve.",
        )
    example = f"app.{local_ca.zones[0]}"
    return (
        f"If this is devtls: its CA speaks for {zones} alone, and {host} is outside. Take a name such as {example}.",
        f"Or have a CA made that speaks for it as well: devtls ca renew --zone {host}",
    )
