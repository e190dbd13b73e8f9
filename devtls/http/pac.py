"""The PAC file, and the routing of each request that they lead to us.

Owns the text of the file (the function that every browser runs on each address; there is no RFC for it) and what one
request head may have: a tunnel to our own TLS, the file, or a page. Refuses to be an open proxy: a tunnel leads to a
name in a zone, at the port on which devtls serves https, and to nothing else, addresses included. A request for a file
of ours must be addressed to loopback, so that no page on the internet reads an answer under its own name. Heads are
read by the strict parser of HTTP/1, and one request is all that a connection gets.
"""

from __future__ import annotations

import json

import msgspec

from devtls.errors import InvalidName, ProtocolViolation
from devtls.http.answers import pages
from devtls.http.h1.fields import parse_fields
from devtls.http.h1.framing import RequestFrame, frame_request
from devtls.http.h1.head import HeadLimits, parse_request_line
from devtls.http.h1.target import parse_authority, resolve_target
from devtls.http.headers import get
from devtls.names import Hostname, parse_hostname, zone_of

PAC_PATH = b"/proxy.pac"
PAC_TYPE = b"application/x-ns-proxy-autoconfig"
HEAD_LIMITS = HeadLimits(max_head_bytes=16384, max_fields=64, max_target_bytes=8192)
"""No browser's CONNECT comes near; an address of http:// may be long."""

_HTTP_PORT = 80
_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
# ES3 only: WinHTTP and other old engines run it. Browsers hand over the whole name, perhaps with its final dot.
_SCRIPT = """\
// Written by devtls serve: names in its zones go to devtls, everything else goes where it always went.
function FindProxyForURL(url, host) {
  var zones = %(zones)s;
  host = host.toLowerCase().replace(/\\.$/, "");
  for (var i = 0; i < zones.length; i++) {
    var below = "." + zones[i];
    if (host === zones[i] || host.slice(-below.length) === below) {
      return "PROXY 127.0.0.1:%(port)d";
    }
  }
  return "DIRECT";
}
"""


class PacScope(msgspec.Struct, frozen=True):
    """What is led to devtls: names in `zones`, for https at one of `https_ports`."""

    zones: tuple[Hostname, ...]
    https_ports: frozenset[int]


class PacTunnel(msgspec.Struct, frozen=True):
    """The client may speak TLS from now on; `port` is the port that it asked for."""

    port: int


class PlainRequest(msgspec.Struct, frozen=True):
    """A request for an `http://` address in a zone: it gets what port 80 answers."""

    host: str
    target: bytes
    accept: bytes


def pac_text(zones: tuple[Hostname, ...], port: int) -> bytes:
    """Return the PAC file that leads `zones` to the proxy at `port`."""
    return (_SCRIPT % {"zones": json.dumps(zones), "port": port}).encode("ascii")


def route_request(head: bytes, scope: PacScope, own_port: int) -> PacTunnel | PlainRequest | pages.LocalResponse:
    """Say what a whole head (without its CRLFCRLF) gets at `own_port`."""
    try:
        line, _, block = head.partition(b"\r\n")
        method, target, is_1_1 = parse_request_line(line, HEAD_LIMITS)
        headers, acted = parse_fields(block, HEAD_LIMITS.max_fields, {})
        frame = frame_request(acted, is_1_1=is_1_1)
        accept = get(headers, b"accept") or b""
        if method == b"TRACE":
            raise ProtocolViolation("TRACE is not served.", status=405)
        if method == b"CONNECT":
            return _route_connect(target, frame, scope)
        if target.startswith((b"/", b"*")):
            return _route_own(method, target, frame, scope, own_port)
        return _route_absolute(*resolve_target(method, target, frame.host), target[:5].lower(), accept, scope)
    except ProtocolViolation as violation:
        return pages.malformed(violation.status, str(violation))


def _route_connect(target: bytes, frame: RequestFrame, scope: PacScope) -> PacTunnel | pages.LocalResponse:
    host, port = _split(parse_authority(target))
    if port is None:
        raise ProtocolViolation("CONNECT names a host and a port.")  # RFC 9110 9.3.6
    if frame.body_length != 0:
        raise ProtocolViolation("CONNECT has no body.")
    if frame.host is not None and _split(parse_authority(frame.host))[0] != host:
        raise ProtocolViolation("CONNECT and Host name different hosts.")
    if not _is_ours(host, scope):
        # Browsers show no page for a refused CONNECT; the text is for people with curl.
        return _unreachable(host, scope, b"")
    if port not in scope.https_ports:
        ports = " and ".join(map(str, sorted(scope.https_ports)))
        return pages.refused(f"Port {port} of {host} is not reached through devtls, only {ports}.", b"")
    return PacTunnel(port)


def _route_absolute(
    path: bytes, authority: bytes, scheme: bytes, accept: bytes, scope: PacScope
) -> PlainRequest | pages.LocalResponse:
    host, port = _split(authority)
    if not _is_ours(host, scope):
        return _unreachable(host, scope, accept)
    # Its response would travel unencrypted to a client that believes in https.
    if scheme == b"https":
        return pages.refused("An https address is reached by CONNECT, not by a request in the open.", accept)
    if port not in (None, _HTTP_PORT, *scope.https_ports):
        return pages.refused(f"Port {port} of {host} is not reached through devtls.", accept)
    return PlainRequest(parse_hostname(host), path, accept)


def _route_own(
    method: bytes, target: bytes, frame: RequestFrame, scope: PacScope, own_port: int
) -> pages.LocalResponse:
    host = "" if frame.host is None else _split(parse_authority(frame.host))[0]
    # DNS rebinding: a page's own name may lead to 127.0.0.1, but its Host is not ours.
    if host not in _LOOPBACK_NAMES:
        return pages.refused("What lies here is for this machine, under the name 127.0.0.1.", b"")
    if target.partition(b"?")[0] != PAC_PATH:
        return pages.no_such_file(PAC_PATH.decode())
    if method not in (b"GET", b"HEAD"):
        return pages.malformed(405, "The PAC file can be read, nothing else.")
    body = pac_text(scope.zones, own_port)
    headers = [
        (b"Content-Type", PAC_TYPE),
        (b"Content-Length", b"%d" % len(body)),
        # Zones may change with each start: a browser that keeps the file would go past devtls.
        (b"Cache-Control", b"no-store"),
        (b"X-Content-Type-Options", b"nosniff"),
    ]
    return pages.LocalResponse(200, headers, body)


def _is_ours(host: str, scope: PacScope) -> bool:
    try:
        return zone_of(parse_hostname(host), scope.zones) is not None
    except InvalidName:  # an address, or nothing that a certificate could be made for
        return False


def _unreachable(host: str, scope: PacScope, accept: bytes) -> pages.LocalResponse:
    return pages.refused(f"devtls leads to names in {', '.join(scope.zones)}, not to {host or 'this one'}.", accept)


def _split(authority: bytes) -> tuple[str, int | None]:
    """Return host (an IPv6 address keeps its brackets) and port of a valid `host[:port]`; an empty port is none."""
    host, colon, port = authority.decode("ascii").rpartition(":")
    if not colon or port.endswith("]"):
        return authority.decode("ascii"), None
    return host, int(port) if port else None
