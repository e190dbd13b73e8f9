"""One SSLContext per host name, minted when it is first asked for.

Owns the cache and its limits: names of exact routes are pinned, all others share a bounded LRU and a token bucket, so
that a page that walks through names can neither fill memory nor keep the signer busy. Every hit is checked against
the clock: a leaf past two thirds of its life is minted anew. Minting is synchronous, about 1 ms; a second asker can
therefore never race the first. A context per name also keeps session tickets apart: a ticket from one name is
worthless for another. A name whose clients have to show a certificate gets a context that asks for it; when what they
have to show changes, its next client gets a new one.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from devtls.errors import DevtlsError, NameNotPermitted
from devtls.names import Hostname
from devtls.net.tls.client_auth import AskingContext, ClientPolicy
from devtls.net.tls.client_hello import ClientHello
from devtls.net.tls.handshake import Alert

_LRU_SIZE = 1024  # contexts of names under wildcards
_BURST = 500  # new names at once, at about 1 ms each
_REFILL_PER_S = 50.0


class ServableLeaf(Protocol):
    """What the cache needs of a leaf (pki.Leaf has it)."""

    @property
    def chain_pem(self) -> bytes:
        """The leaf and the intermediate."""

    @property
    def key_pem(self) -> bytes:
        """The leaf's key."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names in it."""

    @property
    def serial(self) -> int:
        """Its serial number."""

    def usable(self, now: datetime) -> bool:
        """Say whether the leaf should be served at `now`."""


class Issuer(msgspec.Struct, frozen=True):
    """How leaves come about: the daemon joins pki, the key store and the clock to this."""

    issue: Callable[[Hostname | None], ServableLeaf]
    """Mint for a name (None = the default leaf); raises NameNotPermitted outside the zones, DevtlsError otherwise."""
    permits: Callable[[str], bool]
    """Say whether a name, as a client sent it, lies inside the zones and is a host name."""
    pem_path: Callable[[bytes], AbstractContextManager[tuple[str, str | None]]]
    """Give PEM bytes a path that only we can read, and the password of the key in it."""


_ContextT = TypeVar("_ContextT", bound=ssl.SSLContext)

HTTP_1 = ("http/1.1", "http/1.0")
"""ALPN names, the one we like best first; `curl --http1.0` offers nothing but the second."""
HTTP_2 = ("h2", *HTTP_1)
_TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and AEAD only (RFC 9325 4.2); those of TLS 1.3 are like that and stay.

Apps are dialled with OpenSSL's own list: an old one that speaks nothing better is the developer's to reach. Of groups
Python can set a single one (`set_ecdh_curve`), which would take X25519 and the post-quantum ones away, and of signature
algorithms none: OpenSSL's at security level 2 hold, P-256 and X25519 first, nothing with SHA-1.
"""


class _Entry(msgspec.Struct):
    context: ssl.SSLContext
    leaf: ServableLeaf
    policy: ClientPolicy | None


class ContextCache:
    """Contexts by name; `now` gives UTC, `monotonic` seconds, `report` takes a sentence about a refusal.

    `policy` says what clients of a name ("" = of none) have to show.
    """

    def __init__(
        self,
        issuer: Issuer,
        *,
        protocols: tuple[str, ...] = HTTP_2,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        report: Callable[[str], None],
        policy: Callable[[str], ClientPolicy | None] = lambda _: None,
    ) -> None:
        self._issuer = issuer
        self._protocols = protocols
        self._wire_protocols = frozenset(name.encode() for name in protocols)
        self._now = now
        self._monotonic = monotonic
        self._report = report
        self._policy = policy
        self._pinned: frozenset[str] = frozenset()
        self._entries: dict[str, _Entry] = {}
        self._others: OrderedDict[str, _Entry] = OrderedDict()
        self._tokens = float(_BURST)
        self._filled_at = monotonic()
        self._spare: ssl.SSLContext | None = None
        self.minted = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._others)

    def counts(self) -> tuple[int, int]:
        """Return how many leaves of pinned names and how many others are in memory."""
        return len(self._entries), len(self._others)

    def pin(self, names: Iterable[str]) -> None:
        """Exempt the names of exact routes from the limits; what was pinned before stays cached as an ordinary name."""
        pinned = frozenset(names)
        for name in self._pinned - pinned:
            if entry := self._entries.pop(name, None):
                self._others[name] = entry
        for name in pinned - self._pinned:
            if entry := self._others.pop(name, None):
                self._entries[name] = entry
        self._pinned = pinned
        self._trim()  # what was pinned may be too much for the LRU

    def replace_issuer(self, issuer: Issuer) -> None:
        """Mint under another CA from now on; connections that are open keep their context."""
        self._issuer = issuer
        # All of them: a leaf of the old CA is worthless to a client that trusts only the new one.
        self._entries.clear()
        self._others.clear()

    def drop(self, name: str) -> None:
        """Forget a name's leaf."""
        self._entries.pop(name, None)
        self._others.pop(name, None)

    def serials_of(self, name: str) -> list[int]:
        """Return the serial numbers of the leaves in memory that hold a name."""
        return [entry.leaf.serial for _, entry in self._every() if name in entry.leaf.names]

    def drop_serials(self, serials: Container[int]) -> list[str]:
        """Forget the leaves with these serial numbers, so that the next handshake gets another key; returns names."""
        dropped = [(key, entry.leaf.names[0]) for key, entry in self._every() if entry.leaf.serial in serials]
        for key, _ in dropped:
            self.drop(key)
        return [name for _, name in dropped]

    def _every(self) -> list[tuple[str, _Entry]]:
        return [*self._entries.items(), *self._others.items()]

    def for_hello(self, hello: ClientHello) -> ssl.SSLContext | Alert:
        """Return the context for a ClientHello, or the alert that refuses it before any key is made."""
        if hello.alpn is not None and self._wire_protocols.isdisjoint(hello.alpn):
            return Alert.NO_APPLICATION_PROTOCOL  # RFC 7301 3.2
        name = hello.sni or ""
        # The policy is compared, not dropped by events: a CRL that changed is seen at the next handshake.
        entry = self._entries.get(name) or self._others.get(name)
        policy = self._policy(name)
        if entry is not None and entry.policy == policy and entry.leaf.usable(self._now()):
            if name in self._others:
                self._others.move_to_end(name)
            return entry.context
        if name and (name.endswith(".") or not self._issuer.permits(name)):  # RFC 6066 3: without a trailing dot
            return Alert.UNRECOGNIZED_NAME
        return self._mint(name, policy)

    def _mint(self, name: str, policy: ClientPolicy | None) -> ssl.SSLContext | Alert:
        exempt = not name or name in self._pinned
        if not exempt and not self._take_token():
            # Not unrecognized_name: the name is good, and the client may try again.
            self._report(f"more than {_BURST} new names at once: {name} and others are refused for a moment")
            return Alert.INTERNAL_ERROR
        try:
            leaf = self._issuer.issue(Hostname(name) if name else None)
            context = self._context(leaf) if policy is None else self._asking_context(leaf, policy)
        except NameNotPermitted:
            return Alert.UNRECOGNIZED_NAME
        except (DevtlsError, OSError) as error:
            self._report(f"no certificate for {name or 'localhost'}: {error}")
            return Alert.INTERNAL_ERROR
        self.minted += 1
        if exempt:
            self._entries[name] = _Entry(context, leaf, policy)
        else:
            self._others[name] = _Entry(context, leaf, policy)
            self._others.move_to_end(name)
            self._trim()
        return context

    def prepare(self) -> None:
        """Make the empty context of the next new name ahead of need: 0.2 of minting's 1.2 ms."""
        # A context holds no key until it is used, so it fits any name.
        if self._spare is None:
            self._spare = self._empty_context()

    def _empty_context(self) -> ssl.SSLContext:
        return self._prepared(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def _prepared(self, context: _ContextT) -> _ContextT:
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
        context.set_ciphers(_TLS_1_2_CIPHERS)  # 24 us, ahead of need as the rest (`prepare`)
        # Compression leaks secrets (CRIME); renegotiation is gone from TLS 1.3 (RFC 8446 4.1.2), HTTP/2 forbids it too.
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(list(self._protocols))
        return context

    def _context(self, leaf: ServableLeaf) -> ssl.SSLContext:
        context, self._spare = self._spare or self._empty_context(), None
        with self._issuer.pem_path(leaf.chain_pem + leaf.key_pem) as (path, password):
            context.load_cert_chain(path, password=password)
        return context

    def _asking_context(self, leaf: ServableLeaf, policy: ClientPolicy) -> ssl.SSLContext:
        # Never the spare: a context that asks is of another class.
        context = self._prepared(AskingContext(ssl.PROTOCOL_TLS_SERVER))
        with self._issuer.pem_path(leaf.chain_pem + leaf.key_pem) as (path, password):
            context.load_cert_chain(path, password=password)
        with self._issuer.pem_path(policy.trust_pem) as (path, _):
            context.ask(policy, path)
        return context

    def _take_token(self) -> bool:
        now = self._monotonic()
        # Refilled by the clock when it is asked: no timer runs for a limit that is seldom met.
        self._tokens = min(_BURST, self._tokens + (now - self._filled_at) * _REFILL_PER_S)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _trim(self) -> None:
        while len(self._others) > _LRU_SIZE:
            self._others.popitem(last=False)
