from __future__ import annotations

import base64
import dataclasses
from pathlib import PureWindowsPath

import pytest

from devtls.system.changes.change import Kind, Status
from devtls.system.changes.truststore.crypt32 import Location
from devtls.system.changes.truststore.root import RootCertificate, sha1_of
from devtls.system.changes.truststore.windows import WindowsStore
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.machine import Machine
from tests.system.changes.truststore.golden_plans import check_section

PYTHON = r"C:\Users\me\devtls\python.exe"


class Stores:
    """What the two Root stores hold."""

    def __init__(self) -> None:
        self.held: dict[Location, tuple[bytes, ...]] = {}

    def __call__(self, location: Location) -> tuple[bytes, ...]:
        return self.held.get(location, ())


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
def machine(machine: Machine) -> Machine:
    return dataclasses.replace(machine, platform="win32", environ={"SystemRoot": r"C:\project"})


def _store(location: Location, machine: Machine, stores: Stores) -> WindowsStore:
    return WindowsStore(location, machine, read=stores, python=PYTHON)


def _there(root: RootCertificate) -> RootCertificate:
    return dataclasses.replace(root, path=PureWindowsPath(r"C:\Users\me o'neill\devtls-root.pem"))


@pytest.mark.parametrize("location", Location)
def test_the_plans_are_the_ones_of_the_manual(
    location: Location, machine: Machine, stores: Stores, root: RootCertificate
) -> None:
    store = _store(location, machine, stores)
    installing = store.apply_plan(store.probe(), _there(root))
    stores.held[location] = (root.der,)
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.APPLIED
    assert [found.fingerprint for found in facts.roots] == [root.fingerprint]
    assert not store.apply_plan(facts, _there(root))
    removing = store.revert_plan(facts, {root.fingerprint})
    names = {sha1_of(root.der): "ROOT-SHA1", base64.b64encode(root.der).decode(): "ROOT-DER"}
    check_section(f"Windows, {location.name}", (installing, removing), names)
    assert not store.undo_plan(facts, facts, {root.fingerprint})
    assert store.kind is Kind.SYSTEM
    assert store.name.removeprefix("windows:") in store.label


def test_where_no_window_can_be_shown_nothing_is_started(
    machine: Machine, stores: Stores, root: RootCertificate
) -> None:
    remote = dataclasses.replace(machine, environ={"SSH_CONNECTION": "1 2 3 4"})
    store = _store(Location.CURRENT_USER, remote, stores)
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, "--system" in state.remedy) == (Status.MANUAL, True)
    assert not store.apply_plan(store.probe(), root)
    assert "certmgr.msc" in store.explain(store.probe(), root)
    machine_wide = _store(Location.LOCAL_MACHINE, remote, stores)
    assert machine_wide.apply_plan(machine_wide.probe(), root)


def test_a_store_that_cannot_be_read_is_reported(machine: Machine, root: RootCertificate) -> None:
    store = WindowsStore(Location.CURRENT_USER, machine)  # the real one, which only Windows has
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, "part of Windows" in state.detail) == (Status.FAILED, True)
    assert not store.apply_plan(store.probe(), root)
    assert not store.revert_plan(store.probe(), {root.fingerprint})


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(None, StepFailure.TIMED_OUT, "python did not end"), Status.HANGING),
        (Outcome(None, StepFailure.FAILED, "you answered the dialog with no"), Status.SKIPPED),
        (Outcome(None, StepFailure.FAILED, "Access is denied."), Status.FAILED),
    ],
)
def test_each_trouble_has_its_own_state_and_a_remedy(
    machine: Machine, stores: Stores, outcome: Outcome, status: Status
) -> None:
    store = _store(Location.CURRENT_USER, machine, stores)
    state = store.read_failure(store.probe(), outcome)
    assert state.status is status
    assert state.remedy
