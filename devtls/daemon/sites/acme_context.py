"""The ACME server joined to the disk and the CA: one request at a time, in a thread.

Owns the order of things: the ledger is opened, the request judged, a certificate signed or revoked, the ledger written,
and only then is there an answer. What goes wrong here is the server's fault, not the client's: it is logged, and
answered as such.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec.json

from devtls.acme.challenges import WELL_KNOWN
from devtls.acme.encoding import SeededTokens
from devtls.acme.messages import (
    AcmeOutcome,
    AcmeRequest,
    AcmeResponse,
    Issue,
    Policy,
    Renewal,
    RequestContext,
    Revoke,
    Validate,
)
from devtls.acme.model import Ledger
from devtls.acme.problems import CONTENT_TYPE, Problem, document
from devtls.acme.server import AcmeServer
from devtls.daemon.sites.acme_issuing import advise, issue, revoke
from devtls.errors import DevtlsError
from devtls.routing import Snapshot
from devtls.system.storage.acme_ledger import LedgerFile
from devtls.system.storage.keystore import Keystore

# 256 bits for each request: tokens need 128 (RFC 8555 11.3).
_SEED_BYTES = 32


class AcmeContext:
    """Answers requests; every call blocks.

    `snapshot` gives the rules of the moment, `report` tells of our own troubles.
    """

    def __init__(self, keystore: Keystore, snapshot: Callable[[], Snapshot], report: Callable[[str], None]) -> None:
        self._keystore = keystore
        self._snapshot = snapshot
        self._report = report
        self._file = LedgerFile(keystore.state_dir)
        self._server = AcmeServer()
        self.pending: frozenset[tuple[str, bytes]] = frozenset()
        """Hosts and paths of the proofs that may be asked for now."""

    def answer(self, request: AcmeRequest) -> tuple[AcmeResponse, Validate | None]:
        """Return the answer, and a challenge whose proof is to be looked for now."""
        context = self._visit(request.host)
        try:
            if request.method != "POST":  # directory, nonces, renewals: nothing of the ledger is asked for
                return self._complete(Ledger(), self._server.respond(Ledger(), request, context), context)
            # Written when the block ends, so before the answer: an order that was promised survives a crash.
            with self._file.opened() as ledger:
                answer, work = self._complete(ledger, self._server.respond(ledger, request, context), context)
                self._look(ledger, context.now)
        except DevtlsError as error:
            self._report(f"an ACME request could not be answered: {error}")
            # serverInternal (RFC 8555 6.7) makes clients try again later.
            return _failure(str(error)), None
        return answer, work

    def validated(self, work: Validate, problem: Problem | None) -> None:
        """Take in what became of a challenge."""
        context = self._visit("")
        try:
            with self._file.opened() as ledger:
                self._server.validated(ledger, work, problem, context)
                self._look(ledger, context.now)
        except DevtlsError as error:
            self._report(f"the proof of an ACME challenge could not be recorded: {error}")

    def _complete(
        self, ledger: Ledger, outcome: AcmeOutcome, context: RequestContext
    ) -> tuple[AcmeResponse, Validate | None]:
        """Do the work that comes before the answer."""
        match outcome.work:
            case Issue() as work:
                done = issue(self._keystore, work, context.now, ocsp=self._snapshot().config.ca.ocsp)
                return self._server.issued(ledger, work, done, context), None
            case Revoke() as work:
                return self._server.revoked(revoke(self._keystore, work, context.now), context), None
            case Renewal() as work:
                return self._server.advised(advise(self._keystore, work, context.now)), None
            case work:
                assert outcome.response is not None  # noqa: S101 - only those above are without one
                return outcome.response, work

    def _visit(self, host: str) -> RequestContext:
        snapshot = self._snapshot()
        acme = snapshot.config.acme
        policy = Policy(snapshot.zones, dict(acme.eab), tuple(pattern for pattern, _ in acme.tls_port))
        return RequestContext(datetime.now(UTC), SeededTokens(os.urandom(_SEED_BYTES)), f"https://{host}", policy)

    def _look(self, ledger: Ledger, now: datetime) -> None:
        self.pending = frozenset((name, (WELL_KNOWN + token).encode()) for name, token in ledger.challenged(now))


def _failure(detail: str) -> AcmeResponse:
    return AcmeResponse(500, msgspec.json.encode(document(Problem("serverInternal", detail))), CONTENT_TYPE)
