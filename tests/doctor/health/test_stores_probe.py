from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from devtls.doctor.health.authority import ProbedCa, probe_ca
from devtls.doctor.health.stores import ProbedStore, probe_stores
from devtls.names import DEFAULT_ZONES
from devtls.system.changes.change import Status
from devtls.system.changes.engine import Executor, apply
from devtls.system.changes.record import ChangeRecord
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT
from devtls.system.storage.keystore import Keystore
from tests.system.as_root import AS_ROOT

RUNNER = AS_ROOT
NSS = "nss:~/.local/share/pki/nssdb"


def look(machine: Machine, ca: ProbedCa) -> dict[str, ProbedStore]:
    return {probed.name: probed for probed in probe_stores(machine, RUNNER, ca)}


def trust(machine: Machine, ca: ProbedCa) -> None:
    assert ca.root is not None
    ca.facts.directory.joinpath(ca.root.path.name).write_bytes(ca.root.pem)
    proposal = look(machine, ca)[NSS].trust
    assert proposal is not None
    apply(proposal, Executor(RUNNER, ALREADY_ROOT, ChangeRecord(ca.facts.directory)))


def test_a_store_without_the_root_can_be_filled_without_an_administrator(machine: Machine, ca: ProbedCa) -> None:
    found = look(machine, ca)[NSS]
    assert found.state is not None
    assert (found.state.status, found.recorded, found.trust is None) == (Status.ABSENT, False, False)


def test_a_ca_that_cannot_sign_is_put_nowhere(machine: Machine, ca: ProbedCa) -> None:
    found = look(machine, replace(ca, authority=None))[NSS]
    assert (found.trust, found.state is None) == (None, False)


def test_the_root_is_found_by_its_fingerprint_and_an_earlier_one_by_the_record(
    machine: Machine, ca: ProbedCa, keystore: Keystore
) -> None:
    trust(machine, ca)
    found = look(machine, ca)[NSS]
    assert found.state is not None
    assert (found.state.status, found.recorded, found.stale) == (Status.APPLIED, True, ())
    keystore.create(DEFAULT_ZONES, datetime.now(UTC))
    later = look(machine, probe_ca(keystore.state_dir, datetime.now(UTC)))[NSS]
    assert [(root.nickname, root.recorded) for root in later.stale] == [(f"devtls root {ca.facts.id}", True)]
    assert later.untrust is not None


def test_without_its_record_an_earlier_root_is_anybodys(machine: Machine, ca: ProbedCa, no_ca: ProbedCa) -> None:
    trust(machine, ca)
    ChangeRecord(ca.facts.directory).path.unlink()
    found = look(machine, no_ca)[NSS]
    assert found.state is None
    assert [root.recorded for root in found.stale] == [False]
    assert found.untrust is None


def test_a_record_that_cannot_be_read_makes_nothing_recorded(machine: Machine, ca: ProbedCa) -> None:
    trust(machine, ca)
    ChangeRecord(ca.facts.directory).path.write_text("{")
    assert not look(machine, ca)[NSS].recorded


def test_while_the_present_root_is_unknown_no_root_is_called_superfluous(machine: Machine, ca: ProbedCa) -> None:
    trust(machine, ca)
    assert look(machine, replace(ca, authority=None, root=None))[NSS].stale == ()


def test_the_root_before_is_not_left_over_while_it_is_still_trusted(
    machine: Machine, ca: ProbedCa, keystore: Keystore
) -> None:
    trust(machine, ca)
    keystore.switch_to_next(keystore.prepare_next(DEFAULT_ZONES, datetime.now(UTC)))
    later = look(machine, probe_ca(keystore.state_dir, datetime.now(UTC)))[NSS]
    assert (later.stale, later.untrust) == ((), None)
