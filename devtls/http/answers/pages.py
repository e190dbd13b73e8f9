"""The texts of our own responses: which route is missing, which address refused, what to do next.

Owns the words of each answer that devtls gives in an app's stead. Refuses to guess: it says what happened and names the
next command. `layout` renders them (a page, JSON, one line) and escapes whatever came from the network.

Every answer but the redirect carries `Devtls-Error`: `no-route`, `upstream`, `broken-answer`, `timeout`,
`misdirected`, `loop`, `malformed`, `overloaded`, `refused`, `no-file` or `help`; all carry `Cache-Control: no-store`.
The answer to HEAD is the caller's: the same head, the body not sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from devtls.http.answers.content import ERROR_HEADER, LocalResponse, PageRow, PageText, RouteLine
from devtls.http.answers.layout import draw
from devtls.names import DEFAULT_ZONES, Hostname

__all__ = [
    "ERROR_HEADER",
    "HANDSHAKE_FAILED",
    "LocalResponse",
    "RouteLine",
    "bad_gateway",
    "broken_response",
    "connect_timeout",
    "file_not_found",
    "gateway_timeout",
    "loop_detected",
    "malformed",
    "misdirected",
    "no_such_file",
    "not_found",
    "outdated",
    "overloaded",
    "plain_http_help",
    "redirect",
    "refused",
]


HANDSHAKE_FAILED = "the TLS handshake failed"
"""The start of the error of an address whose TLS handshake failed."""

_TLS_HINT = (
    'Name the CA that signed the certificate of the app with `ca = "ca.pem"` on the route, or leave it unchecked with '
    "`verify = false`. Without TLS on this port, write http:// in the place of https://."
)


_LIMIT = re.compile(r"\bmax_\w+")
"""The key of a limit in the reason for which an answer was refused."""


def not_found(
    host: str, routes: Sequence[RouteLine], accept: bytes, zones: Sequence[Hostname] = DEFAULT_ZONES, file: str = ""
) -> LocalResponse:
    """Return 404: no route for `host`, how to add one, and the routes there are.

    `file` is where they are written ("" = on the command line). Only for answers over TLS: the list is not public.
    """
    from devtls.http.answers.no_route import no_route  # difflib: 2 ms that no start needs

    return draw(no_route(host, routes, zones, file), accept)


def bad_gateway(name: str, tried: Sequence[tuple[str, str]], retry: bool, accept: bytes) -> LocalResponse:
    """Return 502: nothing at `tried`, pairs of address and error, took the connection of the route `name`.

    With `retry`, right for GET and HEAD only, the page reloads itself when the app is up.
    """
    untrusted = any(error.startswith(HANDSHAKE_FAILED) for _, error in tried)
    notice = PageText(
        502,
        "upstream",
        f"{name} cannot be reached over TLS" if untrusted else f"{name} is not up",
        "devtls could not connect to the app:",
        _TLS_HINT if untrusted else _start_hint([address for address, _ in tried]),
        [PageRow(address, error) for address, error in tried],
        {"tried": [{"address": address, "error": error} for address, error in tried]},
        reloads=retry,
    )
    return draw(notice, accept, (b"Retry-After", b"2"))


def _start_hint(addresses: Sequence[str]) -> str:
    ports = {address.rpartition(":")[2] for address in addresses if not address.startswith("unix:")}
    if len(ports) == 1 and (port := ports.pop()).isdecimal():
        return f"Start your app on port {port}."
    return "Start your app, or point the route at where it listens."


def _seconds(count: float) -> str:
    return "1 second" if count == 1 else f"{count:g} seconds"


def broken_response(name: str, address: str, reason: str, accept: bytes) -> LocalResponse:
    """Return 502: the app answered, but not with HTTP that can be passed on; `reason` says why."""
    limit = _LIMIT.search(reason)
    notice = PageText(
        502,
        "broken-answer",
        f"{name} sent a broken answer",
        "The app took the request, but its answer cannot be passed on:",
        f"Raise `{limit[0]}` under `[limits]` in devtls.toml."
        if limit
        else "Look at the app's log: it may have crashed, or it may not speak HTTP/1.1 on this port.",
        [PageRow(address, reason)],
        {"address": address, "reason": reason},
    )
    return draw(notice, accept)


def gateway_timeout(name: str, address: str, waited_s: float, accept: bytes) -> LocalResponse:
    """Return 504: the app at `address` said nothing for `waited_s` seconds."""
    notice = PageText(
        504,
        "timeout",
        f"{name} takes too long",
        f"The app at `{address}` took the request and sent no answer within {_seconds(waited_s)}.",
        "Look at the app's log, or raise `response_head_timeout_s` under `[limits]` in devtls.toml.",
        (),
        {"address": address, "waited_s": waited_s},
    )
    return draw(notice, accept)


def misdirected(host: str, sni: str, https_port: int, accept: bytes) -> LocalResponse:
    """Return 421 (RFC 9110 15.5.20): the connection was opened for `sni` ("" = no name), the request is for `host`."""
    meant = host or sni or "localhost"  # HTTP/1.0 may leave the Host out
    name = f"[{meant}]" if ":" in meant else meant
    url = f"https://{name}" if https_port == 443 else f"https://{name}:{https_port}"
    wanted = f"is for `{host}`" if host else "has no Host"
    opened = f"was opened for `{sni}`" if sni else "was opened without a server name"
    notice = PageText(
        421,
        "misdirected",
        "Wrong connection for this name",
        f"The request {wanted}, but its connection {opened}.",
        f"Open {url} itself; a client that connects by address must send the name (SNI)."
        if host
        else f"Send the name in the Host field, as in {url}.",
        (),
        {"host": host, "sni": sni},
    )
    return draw(notice, accept)


def client_refused(host: str, reason: str, accept: bytes) -> LocalResponse:
    """Return 403: the client's certificate is of the right CA, and does not count for the names in it."""
    notice = PageText(
        403,
        "client-certificate",
        "This certificate does not count here",
        f"`{host}` asks for a client certificate, and {reason}.",
        "To make one: `devtls cert NAME --client`. Certificates of another CA need the route's `client_ca`.",
        (),
        {"host": host, "reason": reason},
    )
    return draw(notice, accept)


def outdated(host: str, accept: bytes) -> LocalResponse:
    """Return 421: since the connection was opened, what `host` asks of its clients has changed."""
    notice = PageText(
        421,
        "misdirected",
        "This connection is out of date",
        f"Since it was opened, the certificate that clients of `{host}` have to show has changed.",
        "Try again: a new connection is asked for what counts now.",
        (),
        {"host": host},
    )
    return draw(notice, accept)


def connect_timeout(name: str, tried: Sequence[tuple[str, str]], waited_s: float, accept: bytes) -> LocalResponse:
    """Return 504: nothing at `tried`, pairs of address and what it said, took the connection in `waited_s` seconds."""
    notice = PageText(
        504,
        "timeout",
        f"{name} does not take the connection",
        f"devtls tried for {_seconds(waited_s)} to connect to the app:",
        "The app may be stopped in a debugger or have too much to do. Look at its log, or restart it.",
        [PageRow(address, error) for address, error in tried],
        {"tried": [{"address": address, "error": error} for address, error in tried], "waited_s": waited_s},
    )
    return draw(notice, accept)


def loop_detected(host: str, accept: bytes) -> LocalResponse:
    """Return 508: the request has come through this process again and again."""
    notice = PageText(
        508,
        "loop",
        "This request goes in circles",
        f"The route for `{host}` leads back to devtls itself.",
        "Point the route at the port of your app, not at the port of devtls.",
        (),
        {"host": host},
    )
    return draw(notice, accept)


_MALFORMED_TITLES = {
    400: "Bad request",
    405: "Method not allowed",
    408: "The request came too slowly",
    413: "The request is too large",
    414: "The address is too long",
    417: "Unknown expectation",
    431: "The request's header fields are too large",
    501: "Not implemented",
    505: "HTTP version not supported",
}
# RFC 9110 15.5.6: a 405 says which methods would do. Only CONNECT and TRACE are refused here.
_ALLOWED = (b"Allow", b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")


def malformed(status: int, reason: str, accept: bytes = b"") -> LocalResponse:
    """Return a refusal of a request that breaks HTTP or a limit; the connection is closed after it."""
    notice = PageText(
        status,
        "malformed",
        _MALFORMED_TITLES.get(status, "The request was refused"),
        reason,
        "",
        (),
        {"reason": reason},
    )
    return draw(notice, accept, *([_ALLOWED] if status == 405 else []))


def overloaded(reason: str, retry_after_s: int, accept: bytes) -> LocalResponse:
    """Return 503: a limit of ours is reached (connections to one app, requests waiting); `reason` names it."""
    notice = PageText(
        503,
        "overloaded",
        "Too much at once",
        reason,
        "Try again in a moment, or raise the limit under `[limits]` in devtls.toml.",
        (),
        {"reason": reason},
    )
    return draw(notice, accept, (b"Retry-After", b"%d" % retry_after_s))


def redirect(location: bytes) -> LocalResponse:
    """Return 307 to `location`: method and body are kept, and no browser remembers it (RFC 9110 15.4.8)."""
    headers = [(b"Location", location), (b"Content-Length", b"0"), (b"Cache-Control", b"no-store")]
    return LocalResponse(307, headers, b"")


def plain_http_help(accept: bytes) -> LocalResponse:
    """Return 404 on a plain-HTTP port for a Host that no route has: always the same text (DNS rebinding)."""
    notice = PageText(
        404,
        "help",
        "This is devtls",
        "A development proxy answers here, and it has nothing under this name over plain HTTP.",
        "Open the `https://` address that `devtls serve` printed in your terminal.",
    )
    return draw(notice, accept)


def refused(reason: str, accept: bytes) -> LocalResponse:
    """Return 403 to a browser that was told to use devtls as its proxy, for what devtls does not lead to."""
    hint = "Browsers that follow the PAC file of `devtls pac` ask for nothing else here."
    return draw(PageText(403, "refused", "devtls does not lead there", reason, hint), accept)


def file_not_found(message: str, hint: str, path: str, accept: bytes) -> LocalResponse:
    """Return 404 for a path of a static route; `message` and `hint` say why there is nothing."""
    return draw(PageText(404, "no-file", "Not found", message, hint, (), {"path": path}), accept)


def no_such_file(path: str) -> LocalResponse:
    """Return 404 for everything but `path` on the port of the PAC file."""
    message = f"The file for browsers on this port is {path}."
    return draw(PageText(404, "help", "This is devtls", message, "`devtls pac` says how it is used."), b"")
