"""One sentence for each key of `devtls.toml`: what the reference and editors show for it.

Owns the words, nothing else: names, types, defaults and ranges are the model's. No start loads this module.
"""

from __future__ import annotations

from typing import NamedTuple


class Description(NamedTuple):
    """What a key is for, in Markdown; `unset` says what a key without a default of its own comes to."""

    text: str
    unset: str = ""
    unit: str = ""


SECTIONS: dict[str, str] = {
    "serve": "The ports, and how `devtls serve` speaks.",
    "dns": "The DNS server for your zones.",
    "pac": "The proxy auto-configuration file for browsers.",
    "ca": "What the certificates say.",
    "acme": "The ACME server.",
    "limits": "Timeouts and sizes.",
    "routes": "Names and paths, and where they lead.",
}

ROUTE: dict[str, Description] = {
    "target": Description("where requests go: a port, an address, a URL or a Unix socket"),
    "static": Description("a folder of files, in the place of `target`"),
    "spa": Description(
        "`true`: a static folder's `index.html` is the response to a page load for which there is no file: the paths "
        "of a single-page app"
    ),
    "listing": Description("`true`: a directory of a static folder that has no `index.html` is listed"),
    "dotfiles": Description(
        "`true`: a static folder's files and directories whose names begin with a dot are served, too; `.well-known` "
        "always is"
    ),
    "host": Description(
        '`"keep"`: the app sees the Host that the browser sent. `"upstream"`: it sees the Host of its own address, and '
        "`X-Forwarded-Host` keeps the public one"
    ),
    "strip_prefix": Description("the route `app/api` sends `/x` to the app where the browser asked for `/api/x`"),
    "allow_remote": Description("must be `true` for a target on another machine"),
    "ca": Description("PEM file that the certificate of an https or h2 target is verified with", "the system's roots"),
    "verify": Description(
        "`false` does not verify the certificate of an https or h2 target at all; a warning at each start"
    ),
    "hsts": Description(
        '`"strip"` removes `Strict-Transport-Security`; `"keep"` lets it through, without its `preload`'
    ),
    "via": Description("`false` adds no `Via`"),
    "cookie_domain": Description(
        '`"strip"` takes a `Domain` that reaches above the name of the route out of `Set-Cookie`: the cookie is for '
        "this name alone ([what that does not stop](../how-to/names.md#which-apps-share-cookies))"
    ),
    "retry_down_s": Description(
        "`retry_down_s` of `[limits]` for this route alone; `0`: no request waits", "what `[limits]` says"
    ),
    "client_auth": Description(
        '`"require"`: a client without a certificate gets no connection. `"request"`: a client may show one'
    ),
    "client_ca": Description("PEM file with the CA of clients, where `client_auth` asks", "your own CA"),
}

SETTINGS: dict[str, dict[str, Description]] = {
    "serve": {
        "https_port": Description(
            "the port for https; a number asks for exactly that port, `0` for any free one", "443, or 8443"
        ),
        "http_port": Description("the port that redirects `http://` to https; `0` is any free one", "80"),
        "listen": Description(
            'loopback addresses to listen on: `["127.0.0.1", "::1"]`; all others are refused', "both of them"
        ),
        "redirect": Description("`false`: no port for http at all"),
        "log_format": Description('`"json"`: one object per line, on stderr'),
        "http2": Description("`false`: clients get HTTP/1.1 only"),
        "trust_forwarded": Description("`true`: keep and extend the `X-Forwarded-*` of a proxy in front of devtls"),
    },
    "dns": {
        "enabled": Description("`false`: no DNS queries are answered"),
        "port": Description("UDP and TCP, on 127.0.0.1 and ::1; `0` is any free one"),
    },
    "pac": {
        "enabled": Description("`false`: no PAC file, no tunnels"),
        "port": Description("on 127.0.0.1 and ::1; `0` is any free one"),
    },
    "ca": {
        "ocsp": Description("`true`: certificates name the address of the OCSP responder"),
    },
    "acme": {
        "enabled": Description("`true`: certificates by ACME, at the name `acme`, which no route can have then"),
        "http_port": Description(
            "the port of this machine where http-01 looks for the proof: one for all names, or a table by name",
            "the port of the name's route, else 80",
        ),
        "tls_port": Description(
            "the same for tls-alpn-01, which is offered for these names only", "tls-alpn-01 is not offered"
        ),
        "eab": Description(
            "keys by name, in base64url: with any, each new account needs one (external account binding)", "no keys"
        ),
    },
    "limits": {
        "handshake_timeout_s": Description("from the connection to the end of the TLS handshake"),
        "head_timeout_s": Description("a request head, from its first byte to its last"),
        "keep_alive_s": Description("an idle connection of a client"),
        "body_idle_timeout_s": Description("a body that is awaited and does not move"),
        "connect_timeout_s": Description("connecting to an app"),
        "response_head_timeout_s": Description("how long an app may think: you may be at a breakpoint"),
        "retry_down_s": Description(
            "an app that restarts: how long a request waits for one that answered in the last 30 seconds and refuses "
            "connections now; a page that is opened gets its 502 at once; `0`: nothing waits"
        ),
        "continue_wait_s": Description(
            "after so much silence of the app devtls itself responds to `Expect: 100-continue`"
        ),
        "shutdown_grace_s": Description(
            "how long Ctrl-C lets requests finish (a stream that is silent: half a second)"
        ),
        "tunnel_idle_timeout_s": Description("a silent WebSocket"),
        "half_close_grace_s": Description("a silent direction of a WebSocket after the other has ended"),
        "upstream_idle_s": Description("an idle connection to an app"),
        "linger_s": Description("reading the rest of an upload after an early response"),
        "max_head_bytes": Description("the head of a request (more: 431)"),
        "max_target_bytes": Description("path and query (more: 414)"),
        "max_fields": Description("header fields of a request (more: 431)", unit="fields"),
        "max_response_head_bytes": Description("the head of an app's response (more: 502)"),
        "max_response_fields": Description("header fields of an app's response (more: 502)", unit="fields"),
        "max_buffer_bytes": Description("what waits in memory for a slow reader, per direction"),
        "max_drain_bytes": Description("how much of an upload is read and dropped after an early response"),
        "max_informational": Description("1xx responses to one request", unit="responses"),
        "max_connections": Description(
            "clients at once; above it the one that is idle for the longest is closed",
            unit="connections",
        ),
        "max_streams": Description("requests at once on one HTTP/2 connection", unit="requests"),
    },
}
"""Section -> key -> description, for every section but `[routes]`, whose options are ROUTE."""
