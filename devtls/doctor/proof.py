"""The proof at the end of `devtls trust`: real clients, in fresh processes, against real certificates of the CA.

Owns the verdicts. Refuses to call a client trusted that needs more than one variable, and to call the CA safe when
any client accepts the foreign probe: an otherwise perfect certificate for a name outside the zones, signed by the
live intermediate, whose key is dropped as soon as the listener holds it. Nor does it believe a client that says it went
well while its listener saw no handshake. Strategy: each client runs bare, as the user
would run it, and where that fails with the one variable it needs; the way that worked is the way the foreign probe is
tried.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from devtls.doctor.clients import Client, Probe, RefusalReason, read_reason
from devtls.doctor.listener import listening, server_context
from devtls.names import Hostname
from devtls.pki.authority import FOREIGN_NAME, Authority, issue_foreign_probe
from devtls.system.machine.execute import Finished, NotFinished, Runner, StepFailure
from devtls.system.machine.plan import Run
from devtls.system.machine.randomness import new_leaf_key, new_transient_serial

_SETTLE_S = 1.0
"""How long the listener's thread may need to notice the handshake of a client that has ended already."""
_NO_HANDSHAKE = "it ended as if all were well, but it never finished a TLS handshake"

CLIENT_S = 12.0
"""Time limit of one client process: pyenv's and node's slow starts fit in, a hang does not stop the others."""


class Verdict(Enum):
    """Whether a client trusts the root; only the first two count."""

    TRUSTED = "trusted"
    TRUSTED_WITH = "trusted with"
    REFUSED = "refused"


class ForeignOutcome(Enum):
    """The behaviour of a client towards the certificate that it must refuse."""

    REFUSED_FOR_NAME = "refused for its name"
    REFUSED_OTHERWISE = "refused"
    ACCEPTED = "accepted"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class ClientProof:
    """One client: `setting` is `NAME=value` when it needed one, `why` its reason in plain words when it refused."""

    client: str
    tool: Path
    verdict: Verdict
    setting: str = ""
    why: str = ""
    foreign: ForeignOutcome = ForeignOutcome.NOT_TRIED
    foreign_why: str = ""

    def __str__(self) -> str:
        match self.verdict:
            case Verdict.TRUSTED:
                return "trusted"
            case Verdict.TRUSTED_WITH:
                return f"trusted with {self.setting}"
            case Verdict.REFUSED:
                return f"refused: {self.why}"


@dataclass(frozen=True, slots=True)
class _Offer:
    """A name to ask for and the certificate that is shown for it."""

    name: str
    context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class _Trial:
    """One run: it worked, or the reason and its words."""

    worked: bool
    reason: RefusalReason = RefusalReason.OTHER
    message: str = ""

    @property
    def why(self) -> str:
        return self.reason.value or self.message


@dataclass(frozen=True, slots=True)
class ProofFiles:
    """`for_client` makes the file for a client's variable, or returns None; `private_directory` is for keys."""

    private_directory: Path
    for_client: Callable[[Client], Path | None]


def prove(
    authority: Authority, clients: Mapping[Path, Client], files: ProofFiles, runner: Runner, now: datetime
) -> tuple[ClientProof, ...]:
    """Run every client against the listener, all at the same time, and return one report for each."""
    name = Hostname(f"devtls-proof.{authority.zones[0]}")
    # A transient serial: the certificate never leaves this process, so the register need not know it.
    leaf = authority.issue(name, now=now, key=new_leaf_key(), serial=new_transient_serial())
    wanted = _Offer(name, server_context(leaf, files.private_directory))
    # A CA without limits, which was imported, would be believed: such a certificate must not come to be.
    unwanted = _Offer(FOREIGN_NAME, _foreign_context(authority, files, now)) if authority.name_constrained else None
    offers = (wanted, unwanted)
    # All at once: one that hangs must not cost the others their time. Zero workers is an error to the pool.
    with ThreadPoolExecutor(max(1, len(clients))) as pool:
        running = [pool.submit(_report, client, tool, offers, files, runner) for tool, client in clients.items()]
        return tuple(future.result() for future in running)


def _foreign_context(authority: Authority, files: ProofFiles, now: datetime) -> ssl.SSLContext:
    """Return the only holder of the foreign leaf's key; no name is left that leads to it."""
    leaf = issue_foreign_probe(authority, now=now, key=new_leaf_key(), serial=new_transient_serial())
    return server_context(leaf, files.private_directory)


def _report(
    client: Client, tool: Path, offers: tuple[_Offer, _Offer | None], files: ProofFiles, runner: Runner
) -> ClientProof:
    wanted, unwanted = offers
    bare = _try(client, tool, wanted, {}, runner)
    if bare.worked:
        # In the same way that worked: otherwise a refusal could mean the missing root and not the name.
        foreign, why = _try_foreign(client, tool, unwanted, {}, runner)
        return ClientProof(client.name, tool, Verdict.TRUSTED, foreign=foreign, foreign_why=why)
    file = files.for_client(client)
    if file is None:
        return ClientProof(client.name, tool, Verdict.REFUSED, why=bare.why)
    variables = {client.variable: str(file)}
    helped = _try(client, tool, wanted, variables, runner)
    if not helped.worked:
        return ClientProof(client.name, tool, Verdict.REFUSED, why=helped.why)
    foreign, why = _try_foreign(client, tool, unwanted, variables, runner)
    setting = f"{client.variable}={file}"
    return ClientProof(client.name, tool, Verdict.TRUSTED_WITH, setting, foreign=foreign, foreign_why=why)


def _try(client: Client, tool: Path, offer: _Offer, variables: Mapping[str, str], runner: Runner) -> _Trial:
    with listening(offer.context) as here:
        argv = client.argv(tool, Probe(offer.name, here.port))
        ended = runner.run(Run(argv, timeout_s=CLIENT_S, env=variables))
        succeeded = isinstance(ended, Finished) and ended.code == 0
        # A shim that does nothing ends with 0 as well.
        met = succeeded and here.handshake.wait(_SETTLE_S)
    if succeeded:
        return _Trial(met, message="" if met else _NO_HANDSHAKE)
    if isinstance(ended, NotFinished):
        reason = RefusalReason.NO_ANSWER if ended.trouble is StepFailure.TIMED_OUT else RefusalReason.OTHER
        return _Trial(False, reason, ended.detail)
    return _Trial(False, read_reason((ended.stderr + ended.stdout).decode("utf-8", "replace")), ended.last_line)


def _try_foreign(
    client: Client, tool: Path, offer: _Offer | None, variables: Mapping[str, str], runner: Runner
) -> tuple[ForeignOutcome, str]:
    if offer is None:
        return ForeignOutcome.NOT_TRIED, "nothing limits this CA"
    trial = _try(client, tool, offer, variables, runner)
    if trial.worked:
        return ForeignOutcome.ACCEPTED, "it accepts names outside the zones"
    if trial.reason is RefusalReason.NAME_CONSTRAINTS:
        return ForeignOutcome.REFUSED_FOR_NAME, ""
    return ForeignOutcome.REFUSED_OTHERWISE, trial.why
