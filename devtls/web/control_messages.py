"""The messages of the control API: requests and responses as values, JSON on the wire, with a format version.

Owns their shape, which `devtls status --json` and `devtls list --json` hand out as it is. FORMAT grows when a meaning
changes; new fields may come at any time. Refuses nothing itself: msgspec refuses what has another shape.
"""

from __future__ import annotations

from typing import Any

import msgspec

FORMAT = 1
PREFIX = f"/v{FORMAT}"
ABOUT, STATUS = f"{PREFIX}/about", f"{PREFIX}/status"
ROUTES, REMOVE, RELOAD, STOP = f"{PREFIX}/routes", f"{PREFIX}/remove", f"{PREFIX}/reload", f"{PREFIX}/stop"
LEAVES, REVOKED, LOOK = f"{PREFIX}/leaves", f"{PREFIX}/revoked", f"{PREFIX}/look"


class ErrorInfo(msgspec.Struct, frozen=True):
    """An error: a sentence, a hint, and the exit code for it; `at` is ISO 8601, "" = now."""

    message: str
    hint: str = ""
    at: str = ""
    exit_code: int = 1


class Advice(msgspec.Struct, frozen=True):
    """What should not be overlooked: a sentence, and the command that helps ("" = none)."""

    message: str
    hint: str = ""


class RouteStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One route; `source` is "file", "command line", "temporary" or "acme", `line` the file's (0 = none).

    `health` is "up", "down" or "unknown" (static sites, and what did not answer in time); `reason` says why it is
    down; `probed_at` is ISO 8601. `url` is the first of `urls` that a browser on this machine opens. `last_error` is
    that of the last connection a request needed, "" when it was made.
    """

    name: str
    hosts: tuple[str, ...]
    urls: tuple[str, ...]
    url: str = ""
    target: str
    source: str
    line: int = 0
    health: str = "unknown"
    reason: str = ""
    probed_at: str = ""
    last_error: str = ""
    active: int = 0
    idle: int = 0
    client_auth: str = "off"
    """"request" or "require": clients are asked for a certificate."""


class Clients(msgspec.Struct, frozen=True):
    """Open connections of clients; `http2` of them speak HTTP/2."""

    open: int
    http2: int


class Certificates(msgspec.Struct, frozen=True):
    """The cache: leaves of routed names, of other names, and how many were made since the start."""

    pinned: int
    others: int
    minted: int


class CaStatus(msgspec.Struct, frozen=True):
    """The CA in use; `sha256` is the root's fingerprint, `not_after` ISO 8601."""

    id: str
    sha256: str
    not_after: str
    pki_port: int
    pki_port_open: bool


class ServeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One running proxy; `since` is ISO 8601, `config_file` and `pac_port` null when there is none.

    The origin of a port is "bound", "inherited" (from systemd or launchd), "everywhere" (bound on every address, closed
    to other machines) or "redirected" (by the system, to a port that this user may have).
    """

    version: str
    pid: int
    since: str
    stopping: bool
    https_port: int
    http_port: int | None
    https_origin: str = "bound"
    http_origin: str = "bound"
    listen: tuple[str, ...]
    zones: tuple[str, ...]
    config_file: str | None
    routes: tuple[RouteStatus, ...]
    clients: Clients
    certificates: Certificates
    ca: CaStatus
    reload_error: ErrorInfo | None
    warnings: tuple[Advice, ...]
    pac_port: int | None = None
    demo: bool = False
    """It is `devtls demo`: a sample app."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to ABOUT: who this is, without a look at anything; `pac_trouble` says why there is no `pac_port`."""

    version: str
    pid: int
    https_port: int
    config_file: str | None
    pac_port: int | None = None
    pac_trouble: str = ""
    demo: bool = False
    format: int = FORMAT


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to STATUS."""

    serve: ServeStatus
    format: int = FORMAT


class AddRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Take a route for this run: `name = value` as in `[routes]`; relative paths count from `directory`."""

    name: str
    value: Any
    # The older word on the wire: a command and a proxy of two versions understand each other.
    directory: str = msgspec.field(name="folder")
    format: int = FORMAT


class RemoveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Give a route up that was added for this run."""

    name: str
    format: int = FORMAT


class ReloadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Read everything again; `why` begins the line in the log."""

    why: str
    format: int = FORMAT


class StopRequest(msgspec.Struct, frozen=True, kw_only=True):
    """End; `now` does not wait for requests."""

    now: bool = False
    format: int = FORMAT


class LeavesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Say which leaves in memory hold a name."""

    name: str
    format: int = FORMAT


class LeavesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to LEAVES: serial numbers in hex, and the root (SHA-256) that they are under."""

    sha256: str
    serials: tuple[str, ...]
    format: int = FORMAT


class RevokedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Look at the revocation list now: something was revoked, or released."""

    format: int = FORMAT


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Look at the state directory now: another CA signs, or an earlier one was retired."""

    format: int = FORMAT


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a command: `error` is None when it was done; `routes` as they are from now on.

    `grace_s` is how long a proxy that ends may wait for its requests; `dropped` the names whose leaf was revoked and
    will be minted anew.
    """

    # The older word on the wire, as above.
    error: ErrorInfo | None = msgspec.field(name="trouble", default=None)
    routes: tuple[RouteStatus, ...] = ()
    removed: bool = False
    grace_s: float = 0.0
    dropped: tuple[str, ...] = ()
    format: int = FORMAT
