"""The ACME server: routing of requests, their authentication, and the headers of every response.

Owns the directory, nonces, and the order of the checks (RFC 8555 6). Refuses unsigned requests, requests for another
address than the one they were signed for, nonces that are not ours or come twice, and accounts that are gone.
Strategy: `respond` changes the ledger and returns a response or the work that comes before it; `issued`, `revoked` and
`validated` take the result of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import msgspec.json
from msgspec.structs import replace

from devtls.acme import accounts, challenges, messages, orders, renewal, revocation
from devtls.acme.messages import AcmeOutcome, AcmeRequest, AcmeResponse, Issue, RequestContext, SignedRequest, Validate
from devtls.acme.model import AcmeCertificate, Ledger
from devtls.acme.problems import CONTENT_TYPE, Problem, refusal, refused_document
from devtls.acme.signed import Envelope, open_envelope, public_jwk, verify
from devtls.errors import AcmeProblem

MAX_BODY_BYTES = 65_536
_MOST_NONCES = 4096

_Resource = Callable[[Ledger, SignedRequest, RequestContext, tuple[str, ...]], AcmeOutcome]
_RESOURCES: dict[str, _Resource] = {
    messages.ACCOUNT: accounts.account,
    messages.ORDER: orders.order,
    messages.AUTHORIZATION: challenges.authorization,
    messages.CHALLENGE: challenges.challenge,
    messages.CERTIFICATE: orders.certificate,
}
_SIGNED = (messages.NEW_ACCOUNT, messages.NEW_ORDER, messages.REVOKE, messages.KEY_CHANGE)
_WELCOME = "This is the ACME server of devtls. Point your ACME client at {base}/directory\n"
_NO_STORE = ("Cache-Control", "no-store")


class NonceStore:
    """The nonces of one process; a restart forgets them, which costs each client one more request."""

    def __init__(self, most: int = _MOST_NONCES) -> None:
        self._most = most
        self._given: dict[str, None] = {}

    def give(self, nonce: str) -> str:
        """Remember a nonce and return it."""
        self._given[nonce] = None
        if len(self._given) > self._most:
            # The oldest. Its client is told badNonce, and tries again with a new one (RFC 8555 6.5).
            del self._given[next(iter(self._given))]
        return nonce

    def take(self, nonce: str) -> bool:
        """Say whether a nonce was given out and comes back for the first time."""
        return self._given.pop(nonce, self) is None


class AcmeServer:
    """The server of one process; it remembers the nonces that it gave out, everything else is in the ledger."""

    def __init__(self) -> None:
        self._nonces = NonceStore()

    def respond(self, ledger: Ledger, request: AcmeRequest, context: RequestContext) -> AcmeOutcome:
        """Return the response to a request, or the work that comes before it; no request raises."""
        try:
            outcome = self._dispatch(ledger, request, context)
        except AcmeProblem as error:
            outcome = AcmeOutcome(_refused(error))
        # RFC 8555 6.5: it is the responses to POST that carry a new nonce.
        if outcome.response is None or request.method != "POST":
            return outcome
        return AcmeOutcome(self._complete(outcome.response, context), outcome.work)

    def issued(
        self, ledger: Ledger, work: Issue, done: AcmeCertificate | Problem, context: RequestContext
    ) -> AcmeResponse:
        """Return the response that waited for a certificate."""
        if isinstance(done, Problem):
            response = _refused(refusal(done.kind, done.detail))
        else:
            response = orders.issued(ledger, work, done, context)
        return self._complete(response, context)

    def revoked(self, problem: Problem | None, context: RequestContext) -> AcmeResponse:
        """Return the response that waited for a revocation."""
        response = AcmeResponse(200) if problem is None else _refused(refusal(problem.kind, problem.detail))
        return self._complete(response, context)

    def advised(self, suggested: tuple[datetime, datetime] | None) -> AcmeResponse:
        """Return the response that waited for a look at the register."""
        try:
            return renewal.renewal_response(suggested)
        except AcmeProblem as error:
            return _refused(error)

    def validated(self, ledger: Ledger, work: Validate, problem: Problem | None, context: RequestContext) -> None:
        """Apply the result of a challenge."""
        challenges.validated(ledger, work, problem, context)

    def _complete(self, response: AcmeResponse, context: RequestContext) -> AcmeResponse:
        """Return a response to POST with the headers that each of them has (RFC 8555 6.5, 7.1)."""
        headers = (
            *response.headers,
            ("Replay-Nonce", self._nonces.give(context.tokens.token())),
            ("Link", f'<{context.base}{messages.DIRECTORY}>;rel="index"'),
            _NO_STORE,
        )
        return replace(response, headers=headers)

    def _dispatch(self, ledger: Ledger, request: AcmeRequest, context: RequestContext) -> AcmeOutcome:
        match request.path:
            case "/":
                return AcmeOutcome(AcmeResponse(200, _WELCOME.format(base=context.base).encode(), "text/plain"))
            case messages.DIRECTORY:
                _check_method(request, "GET", "HEAD")
                return messages.json_outcome(200, _directory(context))
            case messages.NEW_NONCE:
                _check_method(request, "GET", "HEAD")
                return self._new_nonce(request, context)
        first, *rest = request.path.removeprefix("/").split("/")
        if f"/{first}" == messages.RENEWAL_INFO and len(rest) == 1:
            _check_method(request, "GET", "HEAD")
            return renewal.renewal_request(rest[0])
        resource = _RESOURCES.get(f"/{first}/") if rest else None
        if resource is None and request.path not in _SIGNED:
            raise refusal("malformed", "There is nothing here.", status=404)
        _check_method(request, "POST")
        # Before anything is looked up, so that nothing is shown as pending that has expired.
        ledger.tidy(context.now)
        signed = self._authenticate(ledger, request, context)
        if resource is not None:
            return resource(ledger, signed, context, tuple(rest))
        return _act(request.path, ledger, signed, context)

    def _new_nonce(self, request: AcmeRequest, context: RequestContext) -> AcmeOutcome:
        nonce = ("Replay-Nonce", self._nonces.give(context.tokens.token()))
        # RFC 8555 7.2: HEAD is answered with 200, GET with 204, and neither may be cached.
        index = ("Link", f'<{context.base}{messages.DIRECTORY}>;rel="index"')
        return AcmeOutcome(AcmeResponse(200 if request.method == "HEAD" else 204, headers=(nonce, index, _NO_STORE)))

    def _authenticate(self, ledger: Ledger, request: AcmeRequest, context: RequestContext) -> SignedRequest:
        # RFC 8555 6.2: another content type is answered with 415.
        if request.content_type.partition(";")[0].strip().lower() != messages.JOSE:
            raise refusal("malformed", f"A signed request has the content type {messages.JOSE}.", status=415)
        envelope = open_envelope(request.body)
        signed = _signer(ledger, request.path, envelope)
        verify(envelope, signed.key)
        # RFC 8555 6.4: a request for one resource must not be replayed to another.
        if envelope.url != context.base + request.path:
            raise refusal("unauthorized", "The request was signed for another address.")
        # Last: only what the key's holder signed uses up a nonce.
        if envelope.nonce is None or not self._nonces.take(envelope.nonce):
            raise refusal("badNonce", "The nonce is not one of ours, or was used before.")
        return signed


def _signer(ledger: Ledger, path: str, envelope: Envelope) -> SignedRequest:
    """Return the key that must have signed: a new account sends it, all others name their account (RFC 8555 6.2)."""
    if envelope.jwk is not None:
        if path not in (messages.NEW_ACCOUNT, messages.REVOKE):
            raise refusal("malformed", "Name your account (kid) here, not its key.")
        return SignedRequest(envelope, public_jwk(envelope.jwk))
    if path == messages.NEW_ACCOUNT:
        raise refusal("malformed", "A new account shows its key (jwk).")
    try:
        place = urlsplit(envelope.kid or "").path
    except ValueError:
        place = ""
    account = ledger.accounts.get(place.removeprefix(messages.ACCOUNT))
    if account is None or not place.startswith(messages.ACCOUNT):
        raise refusal("accountDoesNotExist", "There is no such account here.")
    if account.status != "valid":
        raise refusal("unauthorized", f"The account is {account.status}.")
    return SignedRequest(envelope, account.key, account.id)


def _act(path: str, ledger: Ledger, signed: SignedRequest, context: RequestContext) -> AcmeOutcome:
    if path == messages.NEW_ACCOUNT:
        return accounts.new_account(ledger, signed, context)
    if path == messages.NEW_ORDER:
        return orders.new_order(ledger, signed, context)
    if path == messages.KEY_CHANGE:
        return accounts.change_key(ledger, signed, context)
    return revocation.revoke(ledger, signed)


def _check_method(request: AcmeRequest, *allowed: str) -> None:
    if request.method not in allowed:
        # RFC 8555 6.3: GET of a resource that needs a signature is answered with 405 and malformed.
        raise refusal("malformed", f"Only {' and '.join(allowed)} here.", status=405)


def _directory(context: RequestContext) -> dict[str, object]:
    base = context.base
    return {
        "newNonce": base + messages.NEW_NONCE,
        "newAccount": base + messages.NEW_ACCOUNT,
        "newOrder": base + messages.NEW_ORDER,
        "revokeCert": base + messages.REVOKE,
        "keyChange": base + messages.KEY_CHANGE,
        "renewalInfo": base + messages.RENEWAL_INFO,
        "meta": {"externalAccountRequired": bool(context.policy.bindings)},
    }


def _refused(error: AcmeProblem) -> AcmeResponse:
    headers: list[tuple[str, str]] = []
    if error.retry_after_s:
        headers.append(("Retry-After", str(error.retry_after_s)))
    if error.location:
        headers.append(("Location", error.location))
    return AcmeResponse(error.status, msgspec.json.encode(refused_document(error)), CONTENT_TYPE, tuple(headers))
