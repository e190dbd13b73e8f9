"""The log of a running proxy: one line per request, and the few events that a person must see.

Owns the wording and the two formats (text for people, one JSON object per line for programs). Refuses to repeat
itself: hints come once, refusals of our certificate once a minute and name. Everything from the network is escaped.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from msgspec.structs import asdict

from devtls.config.lines import visible
from devtls.daemon.console.refused_clients import why_refused
from devtls.daemon.console.style import CYAN, DIM, GREEN, RED, YELLOW, TerminalStyle
from devtls.errors import DevtlsError
from devtls.net.client.access import AccessRecord
from devtls.net.tls.handshake import HUNG_UP, HandshakeFailure

if TYPE_CHECKING:
    from devtls.http.frameworks.advice import FrameworkFinding
    from devtls.routing import Route

Level = Literal["quiet", "normal", "verbose"]

# Seconds: a client that distrusts us tries again and again.
_QUIET_S = 60.0
# Names come from the network (SNI), so their memory has to end.
_MOST_REMEMBERED = 256
_LONGEST_TARGET = 200

_SHORT_PROTOCOLS = {"HTTP/1.0": "h1.0", "HTTP/1.1": "h1", "HTTP/2": "h2"}
_COLOURS = {"2": (GREEN,), "3": (CYAN,), "4": (YELLOW,), "5": (RED,)}
_PLAIN = TerminalStyle()


class Log:
    """Observer of all connections and voice of the daemon; `write` takes one line, `monotonic` gives seconds."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        as_json: bool = False,
        level: Level = "normal",
        style: TerminalStyle = _PLAIN,
        monotonic: Callable[[], float],
    ) -> None:
        self._write = write
        self.as_json = as_json
        self.level = level
        self.style = style
        self._monotonic = monotonic
        self._last_written: dict[str, float] = {}
        self.trust_advice = "Run `devtls trust`, then restart the client."
        """What to do where a client does not trust the CA; a demo has one that nobody can trust."""
        self._cookies: set[tuple[str, str]] = set()
        self.framework_hints: Callable[[str, Route, FrameworkFinding], None] = lambda _host, _route, _found: None
        """Says what to set in an app's framework; the daemon sets it."""

    # -- requests (net.access.Observer) -------------------------------------------------------------------------------

    @property
    def wants_requests(self) -> bool:
        """Whether each request is recorded."""
        return self.level != "quiet"

    def request(self, record: AccessRecord) -> None:
        """Write one line about a request."""
        self._write(self._request_json(record) if self.as_json else self._request_text(record))

    def _request_text(self, record: AccessRecord) -> str:
        # Escaped: a request could draw on the terminal with control sequences.
        host, target = visible(record.host), visible(record.target)
        if len(target) > _LONGEST_TARGET:
            target = target[:_LONGEST_TARGET] + "…"
        status = self.style.paint(str(record.status), *_COLOURS.get(str(record.status)[:1], ()))
        went = f" -> {visible(record.upstream)}" if record.upstream else ""
        cut = "" if record.complete else "  (cut off)"
        why = f"  {visible(record.reason)}" if record.reason else ""
        took = f"{record.duration_s * 1000:6.0f} ms" if record.upstream else "         "
        address = self.style.paint(f"https://{host}", DIM) + (" *" if target == "*" else target)
        now = datetime.now().astimezone()
        protocol = _SHORT_PROTOCOLS[record.protocol]
        return f"{now:%H:%M:%S}  {status}  {took}  {protocol:<4}  {visible(record.method):<6} {address}{went}{cut}{why}"

    def _request_json(self, record: AccessRecord) -> str:
        return _json("request", **asdict(record) | {"duration_s": round(record.duration_s, 6)})

    # -- hints --------------------------------------------------------------------------------------------------------

    def framework(self, host: str, route: Route, found: FrameworkFinding) -> None:
        """Pass on what a response showed of its framework."""
        self.framework_hints(host, route, found)

    def cookie_domain(self, route: str, host: str, cookie: str, domain: str) -> None:
        """Say once per route and cookie that it was for more names than its own."""
        key = (route, cookie)
        # Full is silent: names of cookies come from apps, and some of those make one for each visit.
        if key in self._cookies or len(self._cookies) >= _MOST_REMEMBERED:
            return
        self._cookies.add(key)
        self.say(
            f'The cookie "{cookie}" of the route {route} was for every name below {domain}: '
            f"Domain={domain} was taken out, it is for {host} alone.",
            event="cookie_domain",
            route=route,
            host=host,
            cookie=cookie,
            domain=domain,
        )

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        """Say that a client does not trust us, or we not it, once a minute and name; the rest only with -v."""
        name = failure.sni or "localhost"
        # An alert of the client's (RFC 8446 6.2) is the one sign that it does not trust the root.
        if failure.refused_certificate:
            if self._first_in_a_while(f"refused {name}"):
                self.warn(
                    f"a client refused our certificate for {name}: its store lacks the root. {self.trust_advice}",
                    event="certificate_refused",
                    host=name,
                    reason=failure.reason,
                )
        elif failure.asked and failure.reason != HUNG_UP:  # a browser does, while its user looks for a certificate
            if self._first_in_a_while(f"asked {name} {failure.reason}"):
                self.warn(
                    f"a client of {name}, which asks for a certificate, was not let in: {why_refused(failure.reason)}",
                    event="client_refused",
                    host=name,
                    reason=failure.reason,
                )
        elif self.level == "verbose":
            self.say(f"TLS with {failure.client_ip or 'a client'} for {name} failed: {failure.reason}")

    def report(self, sentence: str) -> None:
        """Pass on what the certificate cache says, once a minute."""
        if self._first_in_a_while(sentence.partition(":")[0]):
            self.warn(sentence)

    def fault(self, connection_id: int, error: Exception) -> None:
        """A bug of ours ended a connection (0 = none, or none with a number): this is what a bug report needs."""
        place = "".join(traceback.format_exception(error)) if self.level == "verbose" else repr(error)
        what = f"a bug of devtls ended connection {connection_id}" if connection_id else "a bug of devtls"
        self.warn(f"{what}: {place}", event="fault")

    def _first_in_a_while(self, what: str) -> bool:
        now = self._monotonic()
        if now - self._last_written.get(what, -_QUIET_S) < _QUIET_S:
            return False
        # Only a full table is swept: the sweep costs as much as it is long.
        if len(self._last_written) >= _MOST_REMEMBERED:
            self._last_written = {key: at for key, at in self._last_written.items() if now - at < _QUIET_S}
            if len(self._last_written) >= _MOST_REMEMBERED:
                return False
        self._last_written[what] = now
        return True

    # -- the daemon's own words ---------------------------------------------------------------------------------------

    def say(self, text: str, *, event: str = "note", **facts: object) -> None:
        """Write a line, unless -q."""
        if self.level != "quiet":
            self._line(text, event, "", facts)

    def warn(self, text: str, *, event: str = "warning", **facts: object) -> None:
        """Write a line that -q keeps."""
        self._line(text, event, self.style.paint("! ", YELLOW), facts)

    def error(self, error: DevtlsError) -> None:
        """Write an error with its hint."""
        if self.as_json:
            self._write(_json("error", message=str(error), hint=error.hint))
            return
        self._write(self.style.paint("error: ", RED) + _visible_lines(str(error)))
        if error.hint:
            self._write(self.style.paint("  try: ", CYAN) + _visible_lines(error.hint))

    def event(self, name: str, **facts: object) -> None:
        """Write an event that only programs are told of."""
        if self.as_json:
            self._write(_json(name, **facts))

    def block(self, text: str) -> None:
        """Write prepared text for people (the banner)."""
        if not self.as_json and self.level != "quiet":
            self._write(text)

    def _line(self, text: str, event: str, mark: str, facts: dict[str, object]) -> None:
        self._write(_json(event, message=text, **facts) if self.as_json else mark + _visible_lines(text))


def _visible_lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))


def _json(event: str, /, **facts: object) -> str:
    import json  # 1 ms; and msgspec's writer would let control characters above 0x7f through

    return json.dumps({"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts})
