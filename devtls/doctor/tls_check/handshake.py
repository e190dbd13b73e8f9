"""A TLS handshake that verifies nothing: the certificates that the server shows, or the reason why there are none.

Owns the connection and the words of TLS libraries for failures. Verifies nothing, by design: the certificates of a bad
server are what this is about, and nothing but one bare GET is ever sent. Strategy: first with what browsers offer;
where that finds no common ground, with everything that OpenSSL has, to be able to say what the server speaks instead.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from devtls.doctor.tls_check.address import Address
from devtls.doctor.tls_check.certificate import shortened
from devtls.doctor.tls_check.evidence import FailureReason, Handshake, HandshakeFailed
from devtls.doctor.tls_check.resolve import CannotReach, accepts, connect, cut_after

# What Chromium offers for TLS 1.2 (TLS 1.3's are always on); level 0 so that weak certificates are seen, too.
_BROWSER_CIPHERS = ":".join(
    [
        *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        *("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
        *("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
        *("ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384"),
        *("AES128-SHA", "AES256-SHA", "@SECLEVEL=0"),
    ]
)
# aNULL has no certificate to look at, eNULL no encryption.
_EVERY_CIPHER = "ALL:!aNULL:!eNULL:@SECLEVEL=0"
_LEGACY_SERVER_CONNECT = 0x4  # ssl.OP_LEGACY_SERVER_CONNECT, which Python names from 3.12 on
_DER = 2  # _ssl.ENCODING_DER
_LONGEST_HEAD = 64 << 10
_ANSWER_S = 3.0
"""How long an app may think about the one request; nothing but HSTS is lost."""
_USUAL_PORT = 8443
_HSTS = re.compile(rb"^strict-transport-security[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)

_COMMON_GROUND = "PROTOCOL VERSION|HANDSHAKE FAILURE|UNSUPPORTED PROTOCOL|NO PROTOCOLS|INSUFFICIENT SECURITY"
_REASONS = (
    (FailureReason.UNRECOGNIZED_NAME, "UNRECOGNIZED NAME"),
    (FailureReason.WANTS_CERTIFICATE, "CERTIFICATE REQUIRED"),
    (
        FailureReason.NO_SHARED_PROTOCOL,
        f"{_COMMON_GROUND}|WRONG SSL VERSION|VERSION TOO LOW|NO APPLICATION PROTOCOL|DH KEY",
    ),
    (
        FailureReason.NOT_TLS,
        "WRONG VERSION NUMBER|HTTP REQUEST|RECORD LAYER|PACKET LENGTH|UNEXPECTED MESSAGE|BEFORE TLS",
    ),
)
"""What OpenSSL's and Python's words mean; the first that fits."""


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """The server of a check: the connection goes to `host` and `port`, the handshake names the address."""

    address: Address
    host: str
    port: int
    timeout_s: float

    def connect(self) -> socket.socket:
        """Return a TCP connection; raises CannotReach."""
        return connect(self.host, self.port, self.timeout_s)


def perform_handshake(target: CheckTarget) -> Handshake | HandshakeFailed:
    """Return the handshake, or the reason why there was none."""
    handshake = _attempt(target, _context(_BROWSER_CIPHERS, ("h2", "http/1.1")))
    if isinstance(handshake, Handshake):
        # A browser's request would go over HTTP/2 there; the answer's header is the same over HTTP/1.1.
        return handshake if handshake.alpn != "h2" else _as_over_http1(handshake, target)
    if handshake.reason is FailureReason.NO_SHARED_PROTOCOL:
        otherwise = _attempt(target, _permissive_context())
        if isinstance(otherwise, Handshake):
            return replace(otherwise, browserly=False)
    if (
        handshake.reason in (FailureReason.NOT_TLS, FailureReason.CUT, FailureReason.SILENT)
        and handshake.ip
        and _speaks_http(target)
    ):
        return replace(handshake, reason=FailureReason.PLAIN_HTTP)
    return handshake


def _as_over_http1(handshake: Handshake, target: CheckTarget) -> Handshake:
    again = _attempt(target, _context(_BROWSER_CIPHERS, ("http/1.1",)))
    if not isinstance(again, Handshake):
        return handshake
    return replace(handshake, hsts=again.hsts, wants_certificate=again.wants_certificate)


def _context(ciphers: str, alpn: Iterable[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Before verify_mode: ssl refuses CERT_NONE while names are checked.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # see the module's docstring
    context.set_ciphers(ciphers)
    # OpenSSL 3 refuses servers without secure renegotiation (RFC 5746); they show a certificate as well.
    context.options |= _LEGACY_SERVER_CONNECT
    context.set_alpn_protocols(list(alpn))
    return context


def _permissive_context() -> ssl.SSLContext:
    context = _context(_EVERY_CIPHER, ("h2", "http/1.1", "http/1.0"))
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context


def _attempt(target: CheckTarget, context: ssl.SSLContext) -> Handshake | HandshakeFailed:
    try:
        plain = target.connect()
    except CannotReach as error:
        return _out_of_reach(error, target)
    ip = str(plain.getpeername()[0])
    with plain:
        try:
            name = str(target.address.host)
            with (
                # Its handshake must run under the limit. OpenSSL sends no SNI for an address (RFC 6066 section 3).
                context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False) as tls,
                cut_after(tls, target.timeout_s) as limit,
            ):
                return _shake(tls, ip, target, limit)
        except OSError as error:  # wrap_socket looks for bytes that came before TLS
            return HandshakeFailed(_reason(error, expired=False), shortened(_message(error)), ip)


def _shake(tls: ssl.SSLSocket, ip: str, target: CheckTarget, limit: threading.Event) -> Handshake | HandshakeFailed:
    try:
        tls.do_handshake()
    except OSError as error:
        return HandshakeFailed(_reason(error, expired=limit.is_set()), shortened(_message(error)), ip)
    certificates, whole = chain_of(tls)
    cipher = tls.cipher() or ("", "", 0)
    alpn = tls.selected_alpn_protocol() or ""
    handshake = Handshake(ip, certificates, whole, _protocol(tls), cipher[0], alpn)
    # No HTTP/2 here: the same is asked over HTTP/1.1 on a second connection.
    return _ask(handshake, tls, target.address) if alpn != "h2" else handshake


def _protocol(tls: ssl.SSLSocket) -> str:
    version = tls.version() or ""
    return version.replace("TLSv1.", "TLS 1.") if "." in version else version.replace("TLSv1", "TLS 1.0")


def chain_of(tls: ssl.SSLSocket) -> tuple[tuple[bytes, ...], bool]:
    """Return the certificates that the server sent (DER), and whether these are all of them.

    Public from Python 3.13 on; 3.11 and 3.12 have the same in a private place, and where that is gone, too, only the
    server's own certificate can be had.
    """
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return tuple(public()), True
    private: Any = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", None)
    if private is not None:
        return tuple(each.public_bytes(_DER) for each in private() or ()), True
    own = tls.getpeercert(binary_form=True)
    return ((own,) if own else ()), False


def _ask(handshake: Handshake, tls: ssl.SSLSocket, address: Address) -> Handshake:
    """Add the header that has browsers insist on https for good, or that nobody is answered without a certificate."""
    head = b""
    try:
        with cut_after(tls, _ANSWER_S):
            tls.sendall(_request(address))
            while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD:
                piece = tls.recv(4096)
                if not piece:
                    break
                head += piece
    except OSError as error:  # one that speaks no HTTP ends here, too
        return replace(handshake, wants_certificate=_reason(error, expired=False) is FailureReason.WANTS_CERTIFICATE)
    found = _HSTS.search(head.partition(b"\r\n\r\n")[0]) if head.startswith(b"HTTP/") else None
    return replace(handshake, hsts=found[1].decode("latin-1").strip()) if found else handshake


def _request(address: Address) -> bytes:
    # GET, although the body is of no interest: many small servers know no HEAD, and would be waited for.
    fields = f"Host: {address.authority}\r\nUser-Agent: devtls-check\r\nAccept: */*\r\nConnection: close\r\n"
    return f"GET / HTTP/1.1\r\n{fields}\r\n".encode("ascii")


def _out_of_reach(error: CannotReach, target: CheckTarget) -> HandshakeFailed:
    if not error.resolved:
        return HandshakeFailed(FailureReason.UNKNOWN_NAME, shortened(str(error)))
    if not error.refused:
        return HandshakeFailed(
            FailureReason.SILENT if error.silent else FailureReason.UNREACHABLE, shortened(str(error))
        )
    # devtls serve takes this one where 443 is closed to the user.
    elsewhere = target.port != _USUAL_PORT and accepts(error.ip, _USUAL_PORT, min(target.timeout_s, 1.0))
    return HandshakeFailed(FailureReason.REFUSED, shortened(str(error)), error.ip, _USUAL_PORT if elsewhere else 0)


def _message(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else (error.strerror or str(error))


def _reason(error: OSError, *, expired: bool) -> FailureReason:
    if expired or isinstance(error, TimeoutError):
        return FailureReason.SILENT
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or not isinstance(error, ssl.SSLError):
        return FailureReason.CUT
    words = f"{error.reason} {error}".upper().replace("_", " ")
    return next((reason for reason, marks in _REASONS if re.search(marks, words)), FailureReason.OTHER_ALERT)


def _speaks_http(target: CheckTarget) -> bool:
    """Say whether plain HTTP is answered on the same port."""
    try:
        with target.connect() as plain, cut_after(plain, _ANSWER_S):
            plain.sendall(_request(target.address))
            return plain.recv(16).startswith(b"HTTP/")
    except (OSError, CannotReach):
        return False
