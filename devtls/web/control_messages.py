"""The messages of the control API: requests and responses as values, JSON on the wire, with a format version.

Owns their shape, which `devtls status --json` and `devtls list --json` hand out as it is. FORMAT grows when a meaning
changes; new fields may come at any time. Refuses nothing itself: msgspec refuses what has another shape.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

FORMAT = 1
PREFIX = f"/v{FORMAT}"
ABOUT, STATUS = f"{PREFIX}/about", f"{PREFIX}/status"
ROUTES, REMOVE, RELOAD, STOP = f"{PREFIX}/routes", f"{PREFIX}/remove", f"{PREFIX}/reload", f"{PREFIX}/stop"
LEAVES, REVOKED, LOOK = f"{PREFIX}/leaves", f"{PREFIX}/revoked", f"{PREFIX}/look"
JOIN, REJOIN, LEAVE = f"{PREFIX}/join", f"{PREFIX}/rejoin", f"{PREFIX}/leave"


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
    joined: int = 0
    """The process id of the joined `devtls serve` whose route it is; 0 = the proxy's own."""


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


class JoinedProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A `devtls serve` that joined this proxy: its routes are served here for as long as it runs; `since` is ISO 8601.

    `config_file` is null when its routes are all from its command line, or when this proxy reads the same file.
    """

    pid: int
    directory: str
    config_file: str | None
    since: str
    reload_error: ErrorInfo | None = None


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
    joined: tuple[JoinedProcess, ...] = ()
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
    state_dir: str = ""
    listen: tuple[str, ...] = ()
    stopping: bool = False
    joined: tuple[JoinedProcess, ...] = ()
    usual_ports: bool = False
    """Its ports are the usual ones or their stand-in: nobody asked for another."""
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
    """Read everything again; `why` begins the line in the log.

    `config_file` is the file that changed, "" for all: when only a joined process reads it, nothing else is read.
    """

    why: str
    config_file: str = ""
    format: int = FORMAT


class StopRequest(msgspec.Struct, frozen=True, kw_only=True):
    """End; `now` does not wait for requests.

    `pid` ends that joined process instead, 0 the proxy; `with_joined` ends the joined processes too, so that none of
    them takes the listeners over.
    """

    now: bool = False
    pid: int = 0
    with_joined: bool = False
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
    """Look at the state directory now: another CA signs, or an earlier one was retired.

    `setup` says that names, ports or trust may be other ones: addresses are shown again.
    """

    setup: bool = False
    format: int = FORMAT


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Serve the routes of another `devtls serve` for as long as this connection is open.

    `arguments` are its routes as they were typed, perhaps with `--allow-remote`, `flags` its settings; relative paths
    count from `directory`.
    `named` says that `config_file` was named by a person, and not found by searching. `state_dir` and `ca_sha256` must
    be those of the proxy. The rest is how its log lines shall look.
    """

    pid: int
    directory: str
    arguments: tuple[str, ...] = ()
    allow_remote: bool = False
    config_file: str | None = None
    named: bool = False
    flags: dict[str, Any] = {}
    state_dir: str
    ca_sha256: str
    level: Literal["quiet", "normal", "verbose"] = "normal"
    as_json: bool = False
    colour: bool = False
    links: bool = False
    format: int = FORMAT


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of the response to JOIN: refused with `error`, or joined under `id`.

    `settings` are the sections of the configuration that the joined process takes over with the listeners.
    """

    error: ErrorInfo | None = None
    id: str = ""
    settings: dict[str, Any] = {}
    format: int = FORMAT


class JoinMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Each further line: a `line` of the log in `text`, `free` (the listeners are closed), or `end` (end as well)."""

    kind: Literal["line", "free", "end"]
    text: str = ""


class MemberRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Read the file of the joined process `id` again (REJOIN), or give its routes up (LEAVE)."""

    id: str
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
