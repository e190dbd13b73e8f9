"""The context cache: what is kept, what is minted anew, and what is refused before a key is made."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.errors import CertificateError, NameNotPermitted
from devtls.names import Hostname
from devtls.net.tls.client_auth import AskingContext, ClientPolicy, policy_of
from devtls.net.tls.client_hello import ClientHello
from devtls.net.tls.contexts import ContextCache, Issuer, ServableLeaf
from devtls.net.tls.handshake import Alert
from devtls.pki.authority import Authority
from tests.net.client_certificates import trust_pem
from tests.net.harness import issuer_for

START = datetime.now(UTC)
HTTP = (b"http/1.1",)


def ciphers(context: ssl.SSLContext) -> list[str]:
    return [str(cipher["name"]) for cipher in context.get_ciphers()]


class Clock:
    def __init__(self) -> None:
        self.elapsed = timedelta()

    def now(self) -> datetime:
        return START + self.elapsed

    def monotonic(self) -> float:
        return self.elapsed.total_seconds()

    def advance(self, **by: float) -> None:
        self.elapsed += timedelta(**by)


class CountingIssuer:
    """The real CA, with one key for all leaves, or an error in its place."""

    def __init__(self, authority: Authority, clock: Clock) -> None:
        self.asked: list[Hostname | None] = []
        self.error: Exception | None = None
        self._authority, self._clock = authority, clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        real = issuer_for(authority)
        self.pem_path: Callable[[bytes], AbstractContextManager[tuple[str, str | None]]] = real.pem_path
        self.permits = real.permits

    def issue(self, name: Hostname | None) -> ServableLeaf:
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        now, serial = self._clock.now(), x509.random_serial_number()
        if name is None:
            return self._authority.issue_default(now=now, key=self._key, serial=serial)
        return self._authority.issue(name, now=now, key=self._key, serial=serial)

    def as_issuer(self) -> Issuer:
        return Issuer(self.issue, self.permits, self.pem_path)


class Rig:
    def __init__(self, authority: Authority) -> None:
        self.clock = Clock()
        self.issuer = CountingIssuer(authority, self.clock)
        self.reports: list[str] = []
        self.cache = ContextCache(
            self.issuer.as_issuer(), now=self.clock.now, monotonic=self.clock.monotonic, report=self.reports.append
        )

    def ask(self, name: str | None, alpn: tuple[bytes, ...] | None = HTTP) -> ssl.SSLContext | Alert:
        return self.cache.for_hello(ClientHello(name, alpn))


@pytest.fixture
def rig(authority: Authority) -> Rig:
    return Rig(authority)


@pytest.fixture
def cheap_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave OpenSSL out of tests that mint hundreds of names."""
    monkeypatch.setattr(
        ContextCache, "_context", lambda _self, _leaf: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), raising=True
    )


def test_a_name_is_minted_once(rig: Rig) -> None:
    first = rig.ask("app.dev.local")
    assert isinstance(first, ssl.SSLContext)
    assert rig.ask("app.dev.local") is first
    assert rig.ask("api.dev.local") is not first
    assert rig.issuer.asked == ["app.dev.local", "api.dev.local"]
    assert rig.cache.minted == len(rig.cache) == 2


def test_without_a_name_the_leaf_is_the_one_for_localhost(rig: Rig) -> None:
    assert rig.ask(None) is rig.ask(None)
    assert rig.issuer.asked == [None]


def test_a_name_gets_another_context_when_its_clients_have_to_show_something_else(
    rig: Rig, authority: Authority
) -> None:
    policies: dict[str, ClientPolicy] = {}
    rig.cache._policy = policies.get
    plain = rig.ask("app.dev.local")
    assert isinstance(plain, ssl.SSLContext)
    assert (plain.verify_mode, policy_of(None)) == (ssl.CERT_NONE, None)
    trust = authority.root_pem + authority.intermediate_pem
    for required, mode in ((True, ssl.CERT_REQUIRED), (False, ssl.CERT_OPTIONAL)):
        policies["app.dev.local"] = ClientPolicy(required, trust)
        asking = rig.ask("app.dev.local")
        assert isinstance(asking, AskingContext)
        assert rig.ask("app.dev.local") is asking
        policies["app.dev.local"] = ClientPolicy(required, bytes(trust))
        assert rig.ask("app.dev.local") is asking, "an equal policy is the same"
        assert (asking.verify_mode, asking.num_tickets, asking.minimum_version) == (mode, 0, ssl.TLSVersion.TLSv1_2)
        assert not asking.verify_flags & ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        assert len(asking.get_ca_certs()) == 2
    with_list = ClientPolicy(True, trust_pem(authority))
    policies["app.dev.local"] = policies["*"] = with_list
    listing = rig.ask("app.dev.local")
    assert isinstance(listing, AskingContext)
    assert listing.verify_flags & ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    assert len(rig.cache) == 1
    policies.clear()
    assert not isinstance(rig.ask("app.dev.local"), AskingContext)


def test_certificates_that_cannot_be_read_refuse_everybody(rig: Rig) -> None:
    rig.cache._policy = lambda _: ClientPolicy(True, b"none")
    assert rig.ask("app.dev.local") is Alert.INTERNAL_ERROR
    assert "no certificate for app.dev.local" in rig.reports[0]


def test_old_protocols_are_refused_and_tickets_stay_with_their_name(rig: Rig) -> None:
    context = rig.ask("app.dev.local")
    assert isinstance(context, ssl.SSLContext)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_leaf_past_two_thirds_of_its_life_is_minted_anew(rig: Rig) -> None:
    first = rig.ask("app.dev.local")
    rig.clock.advance(days=59)
    assert rig.ask("app.dev.local") is first
    rig.clock.advance(days=2)
    second = rig.ask("app.dev.local")
    assert second is not first
    assert rig.ask("app.dev.local") is second
    assert len(rig.cache) == 1


def test_a_clock_that_went_backwards_mints_anew(rig: Rig) -> None:
    first = rig.ask("app.dev.local")
    rig.clock.advance(days=-2)
    assert rig.ask("app.dev.local") is not first


@pytest.mark.parametrize(
    "name", ["evil.example.com", "local", "dev.local.evil.com", "a..dev.local", "*.dev.local", "ä", "app.dev.local."]
)
def test_a_name_outside_the_zones_is_refused_before_any_key_is_made(rig: Rig, name: str) -> None:
    assert rig.ask(name) is Alert.UNRECOGNIZED_NAME
    assert rig.issuer.asked == []
    assert rig.reports == []


@pytest.mark.parametrize("offered", [(b"h3",), (b"h2c", b"spdy/1"), ()])
def test_a_client_that_offers_only_foreign_protocols_is_refused_before_any_key_is_made(
    rig: Rig, offered: tuple[bytes, ...]
) -> None:
    assert rig.ask("app.dev.local", offered) is Alert.NO_APPLICATION_PROTOCOL
    assert rig.issuer.asked == []


@pytest.mark.parametrize("offered", [(b"http/1.0",), (b"h2", b"http/1.1"), (b"http/1.0", b"http/1.1")])
def test_a_client_that_offers_http_1_is_served(rig: Rig, offered: tuple[bytes, ...]) -> None:
    assert isinstance(rig.ask("app.dev.local", offered), ssl.SSLContext)


def test_a_client_that_offers_none_is_served(rig: Rig) -> None:
    assert isinstance(rig.ask("app.dev.local", None), ssl.SSLContext)


def test_a_ca_that_does_not_permit_the_name_after_all_is_the_same_refusal(rig: Rig) -> None:
    rig.issuer.error = NameNotPermitted("no")
    assert rig.ask("app.dev.local") is Alert.UNRECOGNIZED_NAME


@pytest.mark.parametrize("error", [CertificateError("The CA has expired."), OSError(28, "No space left on device")])
def test_a_ca_that_cannot_sign_is_an_alert_and_a_report_and_is_asked_again(rig: Rig, error: Exception) -> None:
    rig.issuer.error = error
    assert rig.ask("app.dev.local") is Alert.INTERNAL_ERROR
    assert rig.reports == [f"no certificate for app.dev.local: {error}"]
    rig.issuer.error = None
    assert isinstance(rig.ask("app.dev.local"), ssl.SSLContext)


def test_another_ca_means_new_leaves(rig: Rig, authority: Authority) -> None:
    first = rig.ask("app.dev.local")
    rig.cache.pin(["app.dev.local"])
    rig.cache.replace_issuer(CountingIssuer(authority, rig.clock).as_issuer())
    assert len(rig.cache) == 0
    assert rig.ask("app.dev.local") is not first


def test_a_dropped_name_is_minted_anew(rig: Rig) -> None:
    first = rig.ask("app.dev.local")
    rig.cache.drop("app.dev.local")
    rig.cache.drop("never.dev.local")
    assert rig.ask("app.dev.local") is not first


@pytest.mark.usefixtures("cheap_contexts")
def test_names_beyond_the_burst_are_refused_until_tokens_come_back(rig: Rig) -> None:
    for number in range(500):
        assert isinstance(rig.ask(f"n{number}.dev.local"), ssl.SSLContext)
    assert rig.ask("one-too-many.dev.local") is Alert.INTERNAL_ERROR
    assert "one-too-many.dev.local" in rig.reports[0]
    assert isinstance(rig.ask("n499.dev.local"), ssl.SSLContext)  # what is there costs no token
    rig.clock.advance(seconds=0.1)  # 50 a second
    answers = [rig.ask(f"later{number}.dev.local") for number in range(6)]
    assert [isinstance(answer, ssl.SSLContext) for answer in answers] == [True] * 5 + [False]


@pytest.mark.usefixtures("cheap_contexts")
def test_names_of_routes_and_no_name_are_exempt_from_the_limit(rig: Rig) -> None:
    for number in range(500):
        rig.ask(f"n{number}.dev.local")
    rig.cache.pin(["app.dev.local"])
    assert isinstance(rig.ask("app.dev.local"), ssl.SSLContext)
    assert isinstance(rig.ask(None), ssl.SSLContext)
    assert rig.ask("other.dev.local") is Alert.INTERNAL_ERROR


@pytest.mark.usefixtures("cheap_contexts")
def test_the_name_unused_longest_gives_way_and_pinned_ones_never_do(rig: Rig) -> None:
    rig.cache.pin(["app.dev.local"])
    app, first, second = rig.ask("app.dev.local"), rig.ask("n0.dev.local"), rig.ask("n1.dev.local")
    for number in range(2, 1024):
        rig.clock.advance(seconds=1)
        rig.ask(f"n{number}.dev.local")
    assert len(rig.cache) == 1025
    assert rig.ask("n0.dev.local") is first
    rig.clock.advance(seconds=1)
    rig.ask("one-more.dev.local")
    assert len(rig.cache) == 1025
    assert rig.ask("n0.dev.local") is first
    assert rig.ask("app.dev.local") is app
    rig.clock.advance(seconds=1)
    assert rig.ask("n1.dev.local") is not second


@pytest.mark.usefixtures("cheap_contexts")
def test_a_name_minted_anew_counts_as_used(rig: Rig) -> None:
    rig.ask("n0.dev.local")
    rig.ask("n1.dev.local")
    rig.clock.advance(days=61)
    renewed = rig.ask("n0.dev.local")
    for number in range(2, 1025):
        rig.clock.advance(seconds=1)
        rig.ask(f"n{number}.dev.local")
    assert rig.ask("n0.dev.local") is renewed


@pytest.mark.usefixtures("cheap_contexts")
def test_pinning_keeps_what_is_minted_and_unpinning_leaves_it_to_the_limits(rig: Rig) -> None:
    context = rig.ask("app.dev.local")
    rig.cache.pin(["app.dev.local", "new.dev.local"])
    assert rig.ask("app.dev.local") is context
    rig.cache.pin(["new.dev.local"])
    assert rig.ask("app.dev.local") is context
    assert rig.issuer.asked == ["app.dev.local"]
    for number in range(1024):
        rig.clock.advance(seconds=1)
        rig.ask(f"n{number}.dev.local")
    assert len(rig.cache) == 1024
    assert rig.ask("app.dev.local") is not context


def test_a_context_made_ahead_serves_one_name_only(authority: Authority) -> None:
    cache = ContextCache(issuer_for(authority), now=lambda: datetime.now(UTC), monotonic=time.monotonic, report=print)
    cache.prepare()
    cache.prepare()
    first, second = (cache.for_hello(ClientHello(name, None)) for name in ("a.dev.local", "b.dev.local"))
    assert isinstance(first, ssl.SSLContext)
    assert isinstance(second, ssl.SSLContext)
    assert first is not second


def test_every_cipher_has_forward_secrecy_and_aead(rig: Rig) -> None:
    """RFC 9325 4.2: the same for names whose clients show certificates, and for the spare context."""
    rig.cache.prepare()
    for name in ("app.dev.local", "other.dev.local"):
        context = rig.cache.for_hello(ClientHello(name, HTTP))
        assert isinstance(context, ssl.SSLContext)
        for cipher in ciphers(context):
            assert cipher.startswith(("TLS_", "ECDHE-")), cipher
            assert "GCM" in cipher or "CHACHA20" in cipher, cipher
