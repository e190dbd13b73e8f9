"""The address that a development server's own script dials for hot reload.

webpack-dev-server and Vite inside another server (Storybook) write the port of the app into the script that they give
to the browser. The page then dials `wss://NAME:PORT/`, where the app speaks no TLS: nothing of that passes the proxy,
so the script is where it can be seen. Owns the three spellings, and a search that needs no more than a piece of the
script at a time.
"""

from __future__ import annotations

import re

import msgspec

from devtls.http.frameworks.advice import FrameworkAdvice, FrameworkFinding, Remedy

_CLIENT_PORT = "server: { hmr: { clientPort: {port} } }"

WEBPACK = FrameworkAdvice(
    "webpack-dev-server",
    "has the page dial port {dialled} for hot reload (wss://{host}:{dialled}{path}), where it speaks no TLS",
    (Remedy("webpack.config.js", 'devServer: { client: { webSocketURL: "auto://0.0.0.0:0/ws" } }'),),
)
VITE = FrameworkAdvice(
    "Vite",
    "has the page dial port {dialled} for hot reload (wss://{host}:{dialled}), where it speaks no TLS",
    (
        Remedy("vite.config.js", _CLIENT_PORT),
        Remedy(
            ".storybook/main.js",
            "viteFinal: (config) => (Object.assign(config.server.hmr, { clientPort: {port} }), config)",
            "Storybook",
        ),
        Remedy("nuxt.config.ts", f"vite: {{ {_CLIENT_PORT} }}", "Nuxt"),
        Remedy("astro.config.mjs", f"vite: {{ {_CLIENT_PORT} }}", "Astro"),
    ),
)

_OVERLAP = 1024
"""How much of a piece is looked at again with the next: the longest that an address is found by."""

# With bounds: a script that repeats how one begins would be searched from each beginning to the end of the piece.
_PATTERN = (
    rb"const hmrPort = (?P<vite>\d{1,5}|null);"
    # webpack-dev-server 4 and 5, then 6.
    rb"|webpack-dev-server/client/index\.js\?protocol=[^\s\"']{0,320}?&port=(?P<port>\d{1,5})"
    rb"&pathname=(?P<path>[^&\s\"']{0,256}+)[&\s\"']"
    rb"|webpack-dev-middleware/client/index\.js\?url=(?P<url>%7B[^&\s\"']{0,640}+)[&\s\"']"
)
_MARKS = (b"const hmrPort", b"webpack-dev-")


class ReloadAddress(msgspec.Struct, frozen=True):
    """Where a page dials for hot reload; port 0 is that of the page."""

    advice: FrameworkAdvice
    port: int
    path: str = "/"


class ScriptSearch:
    """Searches a script piece by piece; `found` once it is found."""

    def __init__(self) -> None:
        self.found: ReloadAddress | None = None
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Search the next piece."""
        text = self._tail + data
        if any(mark in text for mark in _MARKS) and (match := re.search(_PATTERN, text)):
            self.found = _dialled(match)
        self._tail = text[-_OVERLAP:]


def finding(dialled: ReloadAddress, https_port: int, seen: str) -> FrameworkFinding | None:
    """Return the advice, None when the page dials the proxy's own port."""
    if dialled.port in (0, https_port):
        return None
    return FrameworkFinding(dialled.advice, seen, (("dialled", str(dialled.port)), ("path", dialled.path)))


def _dialled(match: re.Match[bytes]) -> ReloadAddress:
    if (vite := match["vite"]) is not None:
        return ReloadAddress(VITE, 0 if vite == b"null" else int(vite))
    if (port := match["port"]) is not None:
        return ReloadAddress(WEBPACK, int(port), _path(match["path"]))
    # JSON, percent-encoded: {"protocol":"ws:","hostname":"127.0.0.1","port":8080,"pathname":"/ws"}
    number = re.search(rb"%22port%22%3A(?:%22)?(\d{1,5})(?!\d)", match["url"])
    path = re.search(rb"%22pathname%22%3A%22(.*?)%22", match["url"])
    return ReloadAddress(
        WEBPACK, int(number[1]) if number is not None else 0, _path(path[1]) if path is not None else "/"
    )


def _path(encoded: bytes) -> str:
    return encoded.replace(b"%2F", b"/").decode("latin-1")
