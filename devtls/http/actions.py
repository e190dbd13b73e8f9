"""The actions of an exchange and the reports to it, beside the events of the codecs.

Owns the vocabulary of `http.exchange` and nothing else; each is a value.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto

import msgspec

from devtls.http.events import Data, EndOfMessage, InformationalResponse, Request, Reset, Response, Trailers


class Timer(IntEnum):
    """What an exchange waits for; an IntEnum, since until Python 3.12 the hash of an Enum is a call of its own."""

    RESPONSE_HEAD = auto()
    REQUEST_BODY = auto()
    CONTINUE = auto()


class FailureKind(Enum):
    """Why devtls sends a page of its own."""

    LOOP = auto()
    UNREACHABLE = auto()
    CONNECT_TIMEOUT = auto()
    BROKEN_ANSWER = auto()
    NO_ANSWER = auto()
    RESPONSE_TIMEOUT = auto()
    REQUEST_TIMEOUT = auto()
    MALFORMED = auto()


# What the relay reports besides the codec's events.


class UpstreamReady(msgspec.Struct, gc=False):
    """A connection to the app is there; `reused` when it has served before."""

    reused: bool


class DialFailed(msgspec.Struct, gc=False):
    """No address of the app took the connection; `tried` pairs each address with what it said.

    `refused`: nothing listens. `restarting`: so it is, and the app has answered a moment ago.
    """

    tried: tuple[tuple[str, str], ...]
    timed_out: bool = False
    refused: bool = False
    restarting: bool = False

    @property
    def summary(self) -> str:
        """What went wrong in a few words, for one line of a log."""
        errors = dict.fromkeys(error for _, error in self.tried)
        return ", ".join(errors) or "no address"


# What the relay is told to do.


class Acquire(msgspec.Struct, gc=False):
    """Get a connection to the app: idle for at most `max_idle_s` (None = any idle one, 0 = only a fresh one)."""

    max_idle_s: float | None


class AwaitRestart(msgspec.Struct, gc=False):
    """Get a connection to an app that restarts within `wait_s` seconds; `failed` is the report when there is none."""

    wait_s: float
    failed: DialFailed


class SendUpstream(msgspec.Struct, gc=False):
    """Send `event` to the app."""

    event: Request | Data | Trailers | EndOfMessage


class SendClient(msgspec.Struct, gc=False):
    """Send `event` to the client."""

    event: InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset


class SendErrorPage(msgspec.Struct, gc=False):
    """Send the client one of our own pages; `tried` as in DialFailed, `status` that of a MALFORMED request."""

    kind: FailureKind
    detail: str
    tried: tuple[tuple[str, str], ...] = ()
    status: int = 0


class Arm(msgspec.Struct, gc=False):
    """Start (or restart) a timer."""

    timer: Timer
    after_s: float


class Disarm(msgspec.Struct, gc=False):
    """Stop a timer."""

    timer: Timer


class ReleaseUpstream(msgspec.Struct, gc=False):
    """The app's connection is done with this request; its codec knows whether it can be used again."""


class AbortUpstream(msgspec.Struct, gc=False):
    """Close the app's connection now, or stop dialling; `stale` when it was a reused one that the app had closed."""

    stale: bool = False


class OpenTunnel(msgspec.Struct, gc=False):
    """HTTP is over on both connections: carry bytes."""


class ReportCookies(msgspec.Struct, gc=False):
    """Say that cookies of the app were for other names as well; pairs of name and Domain."""

    cookies: tuple[tuple[str, str], ...]


class Finish(msgspec.Struct, gc=False):
    """The exchange is over; `complete` when the client got everything.

    `reason` says in a few words why the client got a page of ours or less than everything.
    """

    complete: bool
    reason: str = ""


Action = (
    Acquire
    | AwaitRestart
    | SendUpstream
    | SendClient
    | SendErrorPage
    | Arm
    | Disarm
    | ReleaseUpstream
    | AbortUpstream
    | OpenTunnel
    | ReportCookies
    | Finish
)
