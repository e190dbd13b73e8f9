"""`devtls doctor --fix`: the safe half of the findings, as changes that the engine applies, reverts and verifies.

Owns the choice of the changes and the root's file, which a store's tool reads. Refuses whatever takes an administrator,
whatever cannot be made again (a CA, a file of the user's own), and whatever only the user can know to be superfluous.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from devtls.doctor.health.diagnosis import Diagnosis
from devtls.system.changes.change import ChangeState, Status
from devtls.system.changes.engine import Executor, Proposal, Result, apply, as_planned, revert
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import write_atomically

_MODE = 0o644


def proposed_fixes(diagnosis: Diagnosis) -> tuple[Proposal, ...]:
    """Return the changes that the findings propose, each once."""
    fixes = [finding.fix for finding in diagnosis.findings if finding.fix is not None]
    return tuple({(fix.change.part, fix.change.name, fix.reverts): fix for fix in fixes}.values())


def apply_fix(proposal: Proposal, executor: Executor) -> Result:
    """Apply or revert one change and return its state afterwards; one that fails stops no other."""
    try:
        return _fix(proposal, executor)
    except OSError as error:
        why = f"{error.filename or proposal.change.label}: {error.strerror or error}"
        return replace(as_planned(proposal, executor.elevation), state=ChangeState(Status.FAILED, why))


def _fix(proposal: Proposal, executor: Executor) -> Result:
    root = proposal.desired
    if not isinstance(root, RootCertificate):
        return revert(proposal, executor) if proposal.reverts else apply(proposal, executor)
    # The present root alone: stores' tools would import every certificate in the file.
    write_atomically(Path(root.path), root.pem, _MODE)
    result = apply(proposal, executor)
    write_atomically(Path(root.path), root.list_pem, _MODE)  # with the older ones, which the store was not to be given
    return result


def is_fixed(proposal: Proposal, result: Result) -> bool:
    """Whether the change is applied, or reverted, as proposed."""
    return result.state.status is (Status.ABSENT if proposal.reverts else Status.APPLIED)
