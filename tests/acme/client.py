"""An ACME client for tests: it signs with josepy, as certbot does, and keeps nonce and account for the next request."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwa import ES256, JWASignature
from josepy.jwk import JWK, JWKEC

from devtls.acme.encoding import SeededTokens
from devtls.acme.messages import JOSE, AcmeOutcome, AcmeRequest, AcmeResponse, Policy, RequestContext
from devtls.acme.model import Ledger
from devtls.acme.server import AcmeServer
from devtls.names import Hostname

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOST = "acme.dev.local"
BASE = f"https://{HOST}"
POLICY = Policy((Hostname("dev.local"), Hostname("test")))
EC_KEY = JWKEC(key=ec.derive_private_key(11, ec.SECP256R1()))
OTHER_KEY = JWKEC(key=ec.derive_private_key(12, ec.SECP256R1()))
RSA_KEY = rsa.generate_private_key(65537, 2048)


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def public(key: JWK) -> dict[str, Any]:
    return dict(key.public_key().to_json())


def flattened(header: dict[str, Any], payload: bytes, key: Any, algorithm: JWASignature = ES256) -> dict[str, str]:
    """Return a JWS; `header` is protected as it stands."""
    protected, content = b64(json.dumps(header).encode()), b64(payload)
    signature = algorithm.sign(key, f"{protected}.{content}".encode())
    return {"protected": protected, "payload": content, "signature": b64(signature)}


@dataclass
class World:
    """A server, its ledger, and a clock that the test turns."""

    policy: Policy = POLICY
    now: datetime = NOW
    ledger: Ledger = field(default_factory=Ledger)
    server: AcmeServer = field(default_factory=AcmeServer)
    asked: int = 0

    def context(self) -> RequestContext:
        self.asked += 1
        return RequestContext(self.now, SeededTokens(self.asked.to_bytes(32, "big")), BASE, self.policy)

    def later(self, **much: float) -> None:
        self.now += timedelta(**much)

    def send(self, request: AcmeRequest) -> AcmeOutcome:
        return self.server.respond(self.ledger, request, self.context())

    def get(self, path: str, method: str = "GET") -> AcmeResponse:
        response = self.send(AcmeRequest(method, path, HOST)).response
        assert response is not None
        return response

    def nonce(self) -> str:
        return header(self.get("/new-nonce", "HEAD"), "Replay-Nonce")


def header(response: AcmeResponse, name: str) -> str:
    return next((value for key, value in response.headers if key == name), "")


def content(response: AcmeResponse) -> dict[str, Any]:
    return dict(json.loads(response.body))


def problem(response: AcmeResponse) -> tuple[int, str]:
    """Return the status and the error type of a refusal."""
    assert response.content_type == "application/problem+json", response
    return response.status, str(content(response)["type"]).removeprefix("urn:ietf:params:acme:error:")


@dataclass
class Client:
    """One client with one key."""

    world: World
    key: JWK = EC_KEY
    account: str = ""

    def post(self, path: str, payload: Any = None, **changes: Any) -> AcmeOutcome:
        """Send a signed request; no payload is POST-as-GET. `changes` replace parts of the protected header."""
        protected: dict[str, Any] = {"alg": "ES256", "nonce": self.world.nonce(), "url": BASE + path}
        protected |= {"kid": self.account} if self.account else {"jwk": public(self.key)}
        protected |= changes
        body = b"" if payload is None else json.dumps(payload).encode()
        kept = {name: value for name, value in protected.items() if value is not None}
        return self.raw(path, json.dumps(flattened(kept, body, self.key.key)).encode())

    def raw(self, path: str, body: bytes, content_type: str = JOSE) -> AcmeOutcome:
        return self.world.send(AcmeRequest("POST", path, HOST, content_type, body))

    def ask(self, path: str, payload: Any = None, **changes: Any) -> AcmeResponse:
        response = self.post(path, payload, **changes).response
        assert response is not None
        return response

    def register(self, **payload: Any) -> AcmeResponse:
        response = self.ask("/new-account", {"termsOfServiceAgreed": True, **payload})
        self.account = header(response, "Location")
        return response

    def order(self, *names: str) -> dict[str, Any]:
        """Order, and return the order with its `path`."""
        response = self.ask("/new-order", {"identifiers": [{"type": "dns", "value": name} for name in names]})
        assert response.status == 201, response
        return {**content(response), "path": path_of(header(response, "Location"))}


def path_of(url: str) -> str:
    return url.removeprefix(BASE)


def registered(world: World | None = None, key: JWK = EC_KEY) -> Client:
    """Return a client that has an account."""
    client = Client(world or World(), key)
    assert client.register().status == 201
    return client
