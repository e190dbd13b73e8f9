"""A listener beside those of the proxy: opened after the start, moved by a reload, no stop when its port is taken.

Owns when it opens (after the first response: what is behind it may take longer to import than a start may last) and its
log lines. A port that is taken is tried again, since a second devtls serve may end first; another program on it is
worth a warning. A new port is opened before the old one is closed.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from devtls.daemon.console.log import Log
from devtls.errors import DevtlsError, PortInUse
from devtls.system.machine.port_holder import Holder, find_holder

if TYPE_CHECKING:
    from devtls.config import DnsConfig, PacConfig

# Seconds; another devtls that ends leaves its port free without telling anybody.
_RETRY_S = 10.0
_OURSELVES = "devtls "
"""How `find_holder` names another process of ours."""


class ListenerWording(msgspec.Struct, frozen=True):
    """The phrases of the log lines about a listener; `section` is that of devtls.toml, and the event in the log."""

    section: str
    port: str
    server: str
    without: str
    elsewhere: str
    udp: bool = False


class _AnyBound(Protocol):
    @property
    def port(self) -> int: ...


class AuxiliaryServer(Protocol):
    """What is behind an open port."""

    @property
    def bound(self) -> _AnyBound:
        """The sockets."""

    async def start(self) -> None:
        """Begin to accept."""

    def close(self) -> None:
        """Accept no more."""


class _Failed(msgspec.Struct, frozen=True):
    """Why the port that was asked for is not open."""

    port: int
    sentence: str
    is_ours: bool = False
    holder: Holder | None = None


ServerT = TypeVar("ServerT", bound=AuxiliaryServer)
SubjectT = TypeVar("SubjectT")
ContentT = TypeVar("ContentT")


class AuxiliaryListener(ABC, Generic[ServerT, SubjectT, ContentT]):
    """The server of one configuration after the other; `subject` is what it is about, compared at each reload."""

    words: ListenerWording

    def __init__(self, config: DnsConfig | PacConfig, subject: SubjectT, log: Log) -> None:
        self._config = config
        self._subject = subject
        self._log = log
        self._server: ServerT | None = None
        self._opened_as = -1
        """The port that was asked for when the server was opened."""
        self._failure: _Failed | None = None
        self._retrying: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    # -- what a kind of port says -------------------------------------------------------------------------------------

    @abstractmethod
    async def _prepare(self, subject: SubjectT) -> ContentT:
        """Return what the server answers from."""

    @abstractmethod
    def _renew(self, server: ServerT, content: ContentT) -> None:
        """Have an open server answer from something else."""

    @abstractmethod
    def _make(self, port: int, content: ContentT) -> ServerT:
        """Bind. Raises DevtlsError."""

    @abstractmethod
    def _success(self, port: int) -> tuple[str, dict[str, object]]:
        """Return the sentence, and the facts for programs, of an open port."""

    # -- what the daemon does -----------------------------------------------------------------------------------------

    @property
    def port(self) -> int | None:
        """The port that answers, None for none."""
        return None if self._server is None else self._server.bound.port

    @property
    def error(self) -> str:
        """Why the port that was asked for is not open; "" when it is, or nobody wants it."""
        return "" if self._failure is None else self._failure.sentence

    async def start(self) -> None:
        """Answer, and go on trying where that is not possible yet."""
        self._retrying = asyncio.get_running_loop().create_task(self._retry())
        await self._apply()

    async def _replace(self, config: DnsConfig | PacConfig, subject: SubjectT) -> None:
        """Apply what a reload brought."""
        if (config, subject) == (self._config, self._subject):
            return
        self._config, self._subject = config, subject
        # Not started yet: `start` will open what the last reload asked for.
        if self._retrying is not None:
            await self._apply()

    async def close(self) -> None:
        """Stop."""
        if self._retrying is not None:
            retrying, self._retrying = self._retrying, None
            retrying.cancel()
            await asyncio.gather(retrying, return_exceptions=True)
        self._close_server()

    async def _retry(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            # What was asked for, not what is bound: port 0 is bound as another number.
            if self._opened_as != self._config.port:
                await self._apply()

    async def _apply(self) -> None:
        async with self._changing:
            if not self._config.enabled:
                self._close_server()
                self._failure = None
                return
            try:
                await self._open()
            except DevtlsError as error:
                await self._tell_of_failure(error)

    async def _open(self) -> None:
        """Open the port, or give the open one the subject of the moment. Raises DevtlsError."""
        try:
            port, content = self._config.port, await self._prepare(self._subject)
            if self._server is not None:
                self._renew(self._server, content)  # also while its successor's port is taken
            if port in (self._opened_as, self.port):
                self._opened_as, self._failure = port, None
                return
            # The new one first: browsers and resolvers always find one of the two.
            server = self._make(port, content)
            await server.start()
        except OSError as error:  # no descriptor is left just now, say
            raise DevtlsError(f"The {self.words.server} cannot be opened: {error.strerror or error}.") from error
        self._close_server()
        self._server, self._opened_as = server, port
        self._tell_of_success(server.bound.port)

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server, self._opened_as = None, -1

    def _tell_of_success(self, port: int) -> None:
        event, (text, facts) = self.words.section, self._success(port)
        # Who read the warning wants to read that it is over.
        was_told = self._failure is not None and not self._failure.is_ours
        if was_told or self._log.level == "verbose":
            self._log.say(text, event=event, **facts)
        else:
            self._log.event(event, **facts)
        self._failure = None

    async def _tell_of_failure(self, error: DevtlsError) -> None:
        words = self.words
        instead = words.without if self.port is None else f"goes on answering on port {self.port}"
        failure = await asyncio.to_thread(_explain, error, self._config.port, words, instead, self._failure)
        told, self._failure = self.error, failure
        # A retry every ten seconds must not be a line every ten seconds.
        if failure.sentence == told:
            return
        if not failure.is_ours:
            self._log.warn(failure.sentence, event=f"{words.section}_unavailable", port=failure.port)
        elif self._log.level == "verbose":
            self._log.say(failure.sentence, event=f"{words.section}_elsewhere", port=failure.port)


def _explain(error: DevtlsError, port: int, words: ListenerWording, instead: str, before: _Failed | None) -> _Failed:
    """Return what happened to `port`, and what devtls does `instead`; blocks for a moment."""
    if not isinstance(error, PortInUse):
        return _Failed(port, f"{error} devtls {instead}.")
    if before is not None and before.port == port and before.holder is not None and before.holder.stays:
        return before  # a port may be taken for days
    holder = find_holder(port)
    # DNS needs both: TCP may be free while a resolver has the UDP port.
    if not holder.words and words.udp:
        holder = find_holder(port, protocol="udp")
    if holder.words.startswith(_OURSELVES):
        return _Failed(port, f"{words.port} {port} belongs to {holder.words}, {words.elsewhere}.", True, holder)
    by = holder.words or "another program"
    hint = f"`port` in [{words.section}] chooses another."
    return _Failed(port, f"{words.port} {port} belongs to {by}: devtls {instead}. {hint}", holder=holder)
