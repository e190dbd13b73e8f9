"""Edits the head of a message on its way through a reverse proxy, in one pass over the field list.

Owns Host, X-Forwarded-*, Via, the hop-by-hop fields, HSTS and Alt-Svc, and calls `location` for URLs that point at
the app. Refuses nothing: the codecs have checked the syntax. Bodies, cookies, Origin, Referer, Date, conditional and
caching fields pass untouched and in order; so does every name that is not listed here.

Strategy: a list that the codec remembers (`RememberedHeaders`) is edited once for each route and client address; in
others field names are looked up as they came in a table that holds the usual spellings (`Accept`, `accept`), which
costs one dict look-up for each field; only a name in an unusual spelling is folded and classified. Rare fields are
set aside in the loop and dealt with after it. What Connection names is removed *before* our own fields are added, so
that no client can delete them (RFC 9110 7.6.1), but for Content-Length, which is framing, and `TE: trailers`.

The tables stand beside the loops that read them: each means little without the other, and a module of their own would
be one more for every start to load.

A 101 leaves `forward_informational` complete: it is the one answer whose `Connection: Upgrade` and `Upgrade:
websocket` are in the field list, to be written verbatim. For a request the codec writes them from `request.upgrade`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from devtls.http.answers.layout import POLL_HEADER
from devtls.http.cookies import strip_domains
from devtls.http.events import Headers, InformationalResponse, RememberedHeaders, Request, Response, Trailers
from devtls.http.headers import HOP_BY_HOP, connection_nominated, tokens
from devtls.http.location import PublicOrigin, public_origin, strip_prefix
from devtls.http.terms import Edge, ForwardPolicy

LOOP_LIMIT = 5
"""How often our pseudonym may stand in Via: more than once is no loop yet, for apps copy fields they got."""


class _Rule(Enum):
    KEEP = 0
    DROP = 1
    CONNECTION = 2
    LENGTH = 3
    TE = 4
    FORWARDED = 5
    HSTS = 6
    URL = 7
    VARY = 8


_KEEP, _DROP, _CONNECTION, _LENGTH, _TE, _FORWARDED, _HSTS, _URL, _VARY = _Rule

_FORWARDED_NAMES = frozenset({b"forwarded", b"x-real-ip"})
# Some frameworks take the path from these and so pass by what a proxy in front has checked.
_REROUTING_NAMES = frozenset({b"x-original-url", b"x-rewrite-url"})
# RFC 9440 4: an app believes these fields, so a client's own must never reach it.
_IDENTITY_NAMES = frozenset({b"client-cert", b"client-cert-chain"})
_IDENTITY_PREFIX = b"client-cert-"
_FORWARDED_PREFIX = b"x-forwarded-"

_REQUEST_RULES: Mapping[bytes, _Rule] = {
    **dict.fromkeys(HOP_BY_HOP, _DROP),
    **dict.fromkeys(_REROUTING_NAMES, _DROP),
    **dict.fromkeys(_IDENTITY_NAMES, _DROP),
    **dict.fromkeys(_FORWARDED_NAMES, _FORWARDED),
    b"host": _DROP,  # written first, see `_edit_request`
    b"connection": _CONNECTION,
    b"content-length": _LENGTH,
    b"te": _TE,
    POLL_HEADER.lower(): _DROP,
}

_RESPONSE_RULES: Mapping[bytes, _Rule] = {
    **dict.fromkeys(HOP_BY_HOP, _DROP),
    b"connection": _CONNECTION,
    b"content-length": _LENGTH,
    b"alt-svc": _DROP,  # names a port of the app's, which devtls does not stand before
    **dict.fromkeys(_IDENTITY_NAMES, _DROP),  # RFC 9440 2.4: in requests alone
    b"vary": _VARY,
    # HSTS is remembered by name, beyond the port and the end of devtls: only on demand.
    b"strict-transport-security": _HSTS,
    b"location": _URL,
    b"content-location": _URL,
    b"refresh": _URL,
    b"link": _URL,
}

# Not a limit: these only skip the classification. Browsers, curl, Node and the usual frameworks send little else.
_USUAL_REQUEST = (
    b"accept accept-encoding accept-language authorization cache-control content-type cookie dnt expect if-match "
    b"if-modified-since if-none-match if-range if-unmodified-since origin pragma priority purpose range referer "
    b"sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user "
    b"sec-gpc sec-purpose sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version "
    b"trailer upgrade-insecure-requests user-agent via x-csrf-token x-csrftoken x-requested-with"
).split()
_USUAL_RESPONSE = (
    b"accept-ranges access-control-allow-credentials access-control-allow-headers access-control-allow-methods "
    b"access-control-allow-origin access-control-expose-headers age allow cache-control content-disposition "
    b"content-encoding content-language content-range content-security-policy content-type date etag expires "
    b"last-modified permissions-policy pragma referrer-policy sec-websocket-accept sec-websocket-extensions "
    b"sec-websocket-protocol server set-cookie trailer transfer-encoding via www-authenticate "
    b"x-content-type-options x-frame-options x-powered-by x-request-id x-xss-protection"
).split()


_ODD_SPELLINGS = {
    name.lower(): name
    for name in (
        b"DNT ETag TE WWW-Authenticate X-CSRF-Token X-CSRFToken X-XSS-Protection HTTP2-Settings X-Real-IP "
        b"Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol Sec-WebSocket-Version"
    ).split()
}


_HYPHENS = bytes.maketrans(b"!#$%&'*+.^_`|~", b"-" * 14)
"""What a name may hold beside letters, digits and hyphens (RFC 9110 5.6.2)."""


def _request_rule(name: bytes) -> _Rule:
    folded = name.lower()
    hyphened = folded.translate(_HYPHENS)
    rule = _REQUEST_RULES.get(folded)
    if rule is None and hyphened.startswith(_FORWARDED_PREFIX):
        rule = _FORWARDED
    if rule is None and hyphened.startswith(_IDENTITY_PREFIX):
        return _DROP
    if folded != hyphened and (rule is _FORWARDED or _REQUEST_RULES.get(hyphened) in {_FORWARDED, _DROP}):
        # WSGI and CGI fold `_` and `-` into one, PHP `.` too, lighttpd every mark: X_Forwarded_For and Client.Cert
        # would overrule ours there. Never trusted.
        return _DROP
    return _KEEP if rule is None else rule


def _response_rule(name: bytes) -> _Rule:
    return _RESPONSE_RULES.get(name.lower(), _KEEP)


def _spellings(names: Iterable[bytes]) -> Iterable[bytes]:
    for name in names:
        yield from (name, name.title(), _ODD_SPELLINGS.get(name, name))


_KNOWN_REQUEST = {name: _request_rule(name) for name in _spellings([*_REQUEST_RULES, *_USUAL_REQUEST])}
_KNOWN_RESPONSE = {name: _response_rule(name) for name in _spellings([*_RESPONSE_RULES, *_USUAL_RESPONSE])}

# A Connection value that names nothing beyond what is removed or rewritten anyway; nearly all of them.
_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close", b"upgrade", b"keep-alive, upgrade", b"te", b"te, close", b""})


def forward_request(request: Request, policy: ForwardPolicy, edge: Edge) -> Request:
    """Return the request as the app gets it: Host first, then the client's own fields in order, then ours."""
    known = request.headers
    if type(known) is not RememberedHeaders:
        headers = _edit_request(request, policy, edge)
    # By identity, which costs less than equality: a reload makes new policies.
    elif (made := known.edited) is not None and made[0] is policy and made[1] is edge and made[2] == request.authority:
        headers = made[3]
    else:
        headers = RememberedHeaders(_edit_request(request, policy, edge))
        known.edited = (policy, edge, request.authority, headers)
    return Request(
        request.stream_id,
        request.method,
        strip_prefix(request.target, policy.strip_prefix) if policy.strip_prefix else request.target,
        request.authority,
        headers,
        request.body_length,
        request.http_version,
        request.expects_continue,
        request.upgrade,
        request.websocket_key,
    )


def _edit_request(request: Request, policy: ForwardPolicy, edge: Edge) -> Headers:
    # RFC 9110 7.2: Host should come first.
    headers: Headers = [(b"Host", request.authority if policy.host is None else policy.host)]
    keep = headers.append
    aside: Headers = []
    nominating = trailers_welcome = sized = False
    for field in request.headers:
        rule = _KNOWN_REQUEST.get(field[0]) or _request_rule(field[0])
        if rule is _KEEP:
            keep(field)
        elif rule is _LENGTH:
            # RFC 9110 8.6: one value; the codec has refused lengths that differ.
            if not sized and request.body_length is not None:
                keep(_length(field))
                sized = True
        elif rule is _CONNECTION:
            nominating = nominating or field[1].lower() not in _PLAIN_CONNECTION
        elif rule is _TE:
            trailers_welcome = trailers_welcome or b"trailers" in tokens(field[1])
        elif rule is _FORWARDED:
            aside.append(field)
    if nominating:
        nominated = connection_nominated(request.headers)
        # Never Host, even when Connection names it.
        headers = headers[:1] + _without_nominated(headers[1:], nominated)
        aside = _without_nominated(aside, nominated)
    if trailers_welcome:
        # RFC 9110 10.1.4: hop-by-hop, so the promise is made anew; gRPC asks for it.
        headers.append((b"TE", b"trailers"))
    # Last: what Connection named cannot take ours away.
    _add_ours(headers, aside, request, policy, edge)
    return headers


def _length(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return a Content-Length without leading zeros: there are programs that read `010` as eight."""
    return field if field[1][:1] != b"0" else (field[0], field[1].lstrip(b"0") or b"0")


def _without_nominated(headers: Headers, nominated: frozenset[bytes]) -> Headers:
    """Drop the fields that Connection names; Content-Length stays, or the body would be read as the next message."""
    gone = nominated - {b"content-length"}
    return [field for field in headers if field[0].lower() not in gone]


def _add_ours(headers: Headers, inbound: Headers, request: Request, policy: ForwardPolicy, edge: Edge) -> None:
    if inbound and policy.trust_forwarded:
        _extend_forwarded(headers, inbound, request.authority, policy, edge)
    else:
        _add_forwarded(headers, request.authority, policy, edge)
    headers.extend(edge.client_cert)
    if policy.via:  # RFC 9110 7.6.3: the version in which it came, not the one that we speak
        headers.append((b"Via", request.http_version + b" " + edge.pseudonym))


def _add_forwarded(headers: Headers, authority: bytes, policy: ForwardPolicy, edge: Edge) -> None:
    headers.append((b"X-Forwarded-For", edge.client_ip))
    headers.append((b"X-Forwarded-Proto", edge.scheme))
    if authority:
        headers.append((b"X-Forwarded-Host", authority))
    headers.append((b"X-Forwarded-Port", b"%d" % edge.port))
    if policy.strip_prefix:
        headers.append((b"X-Forwarded-Prefix", policy.strip_prefix))


def _extend_forwarded(headers: Headers, inbound: Headers, authority: bytes, policy: ForwardPolicy, edge: Edge) -> None:
    """Add ours behind what a trusted proxy in front of us sent.

    The chains (X-Forwarded-For, Forwarded) grow by one, X-Forwarded-Prefix grows by the prefix that we strip; for the
    rest the word of the outer proxy holds, and its first word when it says a thing twice.
    """
    received: dict[bytes, bytes] = {}
    for name, value in inbound:
        folded = name.lower()
        if folded in _CHAINS and folded in received:
            received[folded] += b", " + value
        elif value:
            received.setdefault(folded, value)
    ours: Headers = []
    _add_forwarded(ours, authority, policy, edge)
    for name, value in ours:
        before = received.pop(name.lower(), b"")
        match name:
            case b"X-Forwarded-For" if before:
                headers.append((name, before + b", " + value))
            case b"X-Forwarded-Prefix":
                headers.append((name, before.rstrip(b"/") + value))
            case _:
                headers.append((name, before or value))
    if b"forwarded" in received:
        headers.append((b"Forwarded", received.pop(b"forwarded") + b", " + _forwarded_element(authority, edge)))
    headers += [(name.title(), value) for name, value in received.items()]


_CHAINS = frozenset({b"x-forwarded-for", b"forwarded"})


def _forwarded_element(authority: bytes, edge: Edge) -> bytes:
    """Return our element of Forwarded (RFC 7239 4); an IPv6 address needs brackets and quotes (section 6)."""
    node = b'"[' + edge.client_ip + b']"' if b":" in edge.client_ip else edge.client_ip
    host = b';host="' + authority + b'"' if authority else b""
    return b"for=" + node + host + b";proto=" + edge.scheme


def forward_response(response: Response, policy: ForwardPolicy, edge: Edge, *, authority: bytes) -> Response:
    """Return the app's answer as the browser gets it; `authority` is the public host[:port] of the request."""
    known = response.headers
    if type(known) is not RememberedHeaders:
        headers = _edit_response(response, policy, edge, authority)
    elif (made := known.edited) is not None and made[0] is policy and made[1] is edge and made[2] == authority:
        headers = made[3]
    else:
        headers = RememberedHeaders(_edit_response(response, policy, edge, authority))
        known.edited = (policy, edge, authority, headers)
    return Response(
        response.stream_id,
        response.status,
        headers,
        response.reason,
        response.body_length,
        response.http_version,
        response.close_delimited,
    )


def _edit_response(response: Response, policy: ForwardPolicy, edge: Edge, authority: bytes) -> Headers:
    headers = _forward_answer(response.headers, policy, edge, authority, has_length=_may_have_length(response))
    if policy.via:
        headers.append((b"Via", response.http_version + b" " + edge.pseudonym))
    return headers


def forward_informational(
    response: InformationalResponse, policy: ForwardPolicy, edge: Edge, *, authority: bytes
) -> InformationalResponse:
    """Return a 1xx as the browser gets it: edited like a final answer, and never with a length (RFC 9110 8.6)."""
    headers = _forward_answer(response.headers, policy, edge, authority, has_length=False)
    if policy.via:
        headers.append((b"Via", b"1.1 " + edge.pseudonym))
    if response.status == 101:
        # Hop-by-hop, so the loop has dropped them; a 101 without them is none (RFC 9110 7.8).
        headers += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    return InformationalResponse(response.stream_id, response.status, headers, response.reason)


def _may_have_length(response: Response) -> bool:
    # RFC 9110 8.6: none in a 204; and none beside a body whose length only its end will tell (RFC 9112 6.3).
    return response.status != 204 and response.body_length is not None


def _forward_answer(
    fields: Headers, policy: ForwardPolicy, edge: Edge, authority: bytes, *, has_length: bool
) -> Headers:
    headers: Headers = []
    keep = headers.append
    nominating = False
    public: PublicOrigin | None = None
    for field in fields:
        rule = _KNOWN_RESPONSE.get(field[0]) or _response_rule(field[0])
        if rule is _KEEP:
            keep(field)
        elif rule is _LENGTH:
            if has_length:
                keep(_length(field))
                has_length = False
        elif rule is _CONNECTION:
            nominating = nominating or field[1].lower() not in _PLAIN_CONNECTION
        elif rule is _URL:
            if public is None:
                public = public_origin(edge.scheme, authority, policy.strip_prefix, policy.origins)
            keep((field[0], _moved(public, field[0].lower(), field[1])))
        elif rule is _VARY:
            keep(_vary(field) if edge.client_cert else field)
        elif rule is _HSTS and policy.keep_hsts:
            keep((field[0], _without_preload(field[1])))
    if policy.cookie_hosts:
        headers = strip_domains(headers, authority, policy.cookie_hosts)
    if nominating:
        return _without_nominated(headers, connection_nominated(fields))
    return headers


def _vary(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return `Vary: *` for an answer that depends on the certificate: no cache can know it (RFC 9440 2.4)."""
    return (field[0], b"*") if _IDENTITY_NAMES.intersection(tokens(field[1])) else field


def _moved(public: PublicOrigin, name: bytes, value: bytes) -> bytes:
    match name:
        case b"refresh":
            return public.move_refresh(value)
        case b"link":
            return public.move_link(value)
        case _:
            return public.move(value)


def _without_preload(value: bytes) -> bytes:
    """Return a Strict-Transport-Security value without `preload`: no vendor's list may learn of a development name."""
    directives = [directive.strip(b" \t") for directive in value.split(b";")]
    return b"; ".join(directive for directive in directives if directive and directive.lower() != b"preload")


_NEVER_TRAILERS = HOP_BY_HOP | frozenset(
    b"age authorization cache-control content-encoding content-length content-location content-range content-type "
    b"cookie date expect expires forwarded host if-match if-modified-since if-none-match if-range if-unmodified-since "
    b"link location max-forwards pragma range refresh retry-after set-cookie strict-transport-security alt-svc trailer "
    b"vary www-authenticate x-original-url x-real-ip x-rewrite-url client-cert client-cert-chain".split()
)
"""Framing, routing, credentials, modifiers, content format: RFC 9110 6.5.1 wants them in the header section only."""


def forward_trailers(trailers: Trailers) -> Trailers:
    """Return the trailer section without the fields that must not be one; they are never merged."""
    return Trailers(trailers.stream_id, [field for field in trailers.headers if _is_trailer(field[0])])


def _is_trailer(name: bytes) -> bool:
    folded = name.lower().translate(_HYPHENS)
    return folded not in _NEVER_TRAILERS and not folded.startswith((_FORWARDED_PREFIX, _IDENTITY_PREFIX))


def is_loop(headers: Headers, pseudonym: bytes) -> bool:
    """Say whether the message has passed through this process so often that it goes in circles (RFC 9110 7.6.3)."""
    count = 0
    for name, value in headers:
        if len(name) == 3 and name.lower() == b"via":  # cheaper than to fold every name
            count += value.count(pseudonym)
    return count >= LOOP_LIMIT
