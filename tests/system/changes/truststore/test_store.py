from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from devtls.errors import ExitCode, UnknownStore
from devtls.system.changes.change import ChangeState, Kind, Part, Status
from devtls.system.changes.engine import Executor, Proposal, apply, as_planned, revert
from devtls.system.changes.record import AppliedChange, ChangeRecord, Installed
from devtls.system.changes.truststore.discovery import Scope, find_stores, is_gone, root_is_trusted, select_stores
from devtls.system.changes.truststore.java import Feeder, JavaStore
from devtls.system.changes.truststore.other_tools import OtherRoot
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.changes.truststore.store import TrustStore, is_trusted, propose_trust, propose_untrust
from devtls.system.machine.execute import Finished, NotFinished, Outcome, ProcessRunner, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT, Plan, Run
from tests.system.changes.truststore.conftest import ToolMaker


@dataclass(frozen=True)
class SetFacts:
    held: frozenset[str]
    roots: tuple[RootCertificate, ...] = ()
    others: tuple[OtherRoot, ...] = ()


@dataclass
class SetStore(TrustStore[SetFacts]):
    """A store that is a set of fingerprints; the runner below changes it."""

    name: str = "set"
    kind: Kind = Kind.SYSTEM
    label: str = "A set"
    elevate: bool = False
    held: set[str] = field(default_factory=set)
    known: dict[str, RootCertificate] = field(default_factory=dict)
    blocked: ChangeState | None = None

    def probe(self) -> SetFacts:
        roots = tuple(self.known[held] for held in sorted(self.held) if held in self.known)
        return SetFacts(frozenset(self.held), roots)

    def trust_state(self, facts: SetFacts, fingerprint: str) -> ChangeState:
        if self.blocked:
            return self.blocked
        return ChangeState(Status.APPLIED if fingerprint in facts.held else Status.ABSENT)

    def apply_plan(self, facts: SetFacts, desired: RootCertificate) -> Plan:
        if self.blocked or desired.fingerprint in facts.held:
            return Plan()
        return Plan((Run(("/bin/add", desired.fingerprint), self.elevate),))

    def revert_plan(self, facts: SetFacts, previous_state: Collection[str]) -> Plan:
        held = sorted(facts.held & set(previous_state))
        return Plan(tuple(Run(("/bin/drop", fingerprint), self.elevate) for fingerprint in held))

    def undo_plan(self, before: SetFacts, after: SetFacts, previous_state: Collection[str]) -> Plan:
        return Plan() if before.held & set(previous_state) else self.revert_plan(after, previous_state)

    def read_failure(self, facts: SetFacts, outcome: Outcome) -> ChangeState:
        return ChangeState(Status.FAILED, outcome.detail, "devtls trust")

    def explain(self, facts: SetFacts, desired: RootCertificate) -> str:
        return "by hand"


@dataclass
class SetRunner:
    """Does what the commands say, unless told to fail or to lie."""

    store: SetStore
    fails: bool = False
    lies: bool = False

    def run(self, run: Run) -> Finished | NotFinished:
        verb, fingerprint = run.argv
        if not self.lies:
            (self.store.held.add if verb == "/bin/add" else self.store.held.discard)(fingerprint)
        return NotFinished(StepFailure.TIMED_OUT, "hung") if self.fails else Finished(0)


@pytest.fixture
def record(tmp_path: Path) -> ChangeRecord:
    return ChangeRecord(tmp_path / "state")


def test_the_store_is_asked_again_and_remembered(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore()
    (proposal,) = propose_trust([store], root)
    result = apply(proposal, Executor(SetRunner(store), None, record))
    assert (result.state.status, result.changed) == (Status.APPLIED, True)
    assert record.installed() == (Installed("set", root.fingerprint, root.id),)
    assert is_trusted([result])


def test_a_second_run_has_nothing_to_do(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore(held={root.fingerprint})
    (proposal,) = propose_trust([store], root)
    assert not proposal.plan
    result = apply(proposal, Executor(SetRunner(store, fails=True), None, record))
    assert (result.state.status, result.changed, result.commands) == (Status.APPLIED, False, ())
    assert record.installed() != ()


def test_a_tool_that_lies_about_success_is_found_out(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore()
    (proposal,) = propose_trust([store], root)
    result = apply(proposal, Executor(SetRunner(store, lies=True), None, record))
    assert (result.state.status, result.changed) == (Status.FAILED, False)
    assert "does not hold" in result.state.detail
    assert result.manual == "by hand"
    assert not is_trusted([result])


def test_a_tool_that_fails_after_doing_its_work_counts_as_done(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore()
    (proposal,) = propose_trust([store], root)
    assert apply(proposal, Executor(SetRunner(store, fails=True), None, record)).state.status is Status.APPLIED


def test_a_tool_that_fails_is_put_into_words_and_stays_recorded(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore()
    (proposal,) = propose_trust([store], root)
    result = apply(proposal, Executor(SetRunner(store, fails=True, lies=True), None, record))
    assert (result.state.status, result.state.detail) == (Status.FAILED, "hung")
    assert record.installed() != ()


def test_without_elevation_the_commands_are_shown_and_the_store_is_skipped(
    root: RootCertificate, record: ChangeRecord
) -> None:
    store = SetStore(elevate=True)
    (proposal,) = propose_trust([store], root)
    result = apply(proposal, Executor(SetRunner(store), None, record))
    assert result.state.status is Status.SKIPPED
    assert result.commands == (f"sudo /bin/add {root.fingerprint}",)
    assert store.held == set()
    assert record.installed() == ()
    assert as_planned(proposal, ALREADY_ROOT).commands == (f"/bin/add {root.fingerprint}",)
    held = SetStore(elevate=True, held={root.fingerprint})
    (removal,) = propose_untrust([held], {root.fingerprint}, every_root=False)
    skipped = revert(removal, Executor(SetRunner(held), None, record))
    assert "devtls untrust" in skipped.state.remedy


def test_a_blocked_store_says_so_and_changes_nothing(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore(blocked=ChangeState(Status.NO_TOOL, "no tool", "by hand"))
    (proposal,) = propose_trust([store], root)
    result = apply(proposal, Executor(SetRunner(store), None, record))
    assert (result.state.status, result.manual) == (Status.NO_TOOL, "")
    assert record.installed() == ()


def test_a_runtime_alone_does_not_count(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore(kind=Kind.RUNTIME)
    (proposal,) = propose_trust([store], root)
    result = apply(proposal, Executor(SetRunner(store), None, record))
    assert result.state.status is Status.APPLIED
    assert not is_trusted([result])


def test_removal_takes_only_what_it_was_told(
    root: RootCertificate, older_root: RootCertificate, record: ChangeRecord
) -> None:
    known = {item.fingerprint: item for item in (root, older_root)}
    store = SetStore(held={*known, "foreign"}, known=known)
    record.add(AppliedChange(Part.TRUST, "set", {root.fingerprint: root.id}))
    (proposal,) = propose_untrust([store], {root.fingerprint}, every_root=False)
    result = revert(proposal, Executor(SetRunner(store), None, record))
    assert (result.state.status, result.changed) == (Status.ABSENT, True)
    assert store.held == {older_root.fingerprint, "foreign"}
    assert record.installed() == ()
    (everything,) = propose_untrust([store], set(), every_root=True)
    revert(everything, Executor(SetRunner(store), None, record))
    assert store.held == {"foreign"}


def test_removing_what_is_not_there_forgets_the_record(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore()
    record.add(AppliedChange(Part.TRUST, "set", {root.fingerprint: root.id}))
    (proposal,) = propose_untrust([store], {root.fingerprint}, every_root=False)
    assert not revert(proposal, Executor(SetRunner(store), None, record)).changed
    assert record.installed() == ()


@pytest.mark.parametrize(("fails", "detail"), [(True, "hung"), (False, "still holds")])
def test_a_removal_that_fails_keeps_the_record(
    root: RootCertificate, record: ChangeRecord, fails: bool, detail: str
) -> None:
    store = SetStore(held={root.fingerprint})
    record.add(AppliedChange(Part.TRUST, "set", {root.fingerprint: root.id}))
    (proposal,) = propose_untrust([store], {root.fingerprint}, every_root=False)
    result = revert(proposal, Executor(SetRunner(store, fails=fails, lies=True), None, record))
    assert result.state.status is Status.FAILED
    assert detail in result.state.detail
    assert result.state.remedy == "devtls untrust"
    assert record.installed() != ()


def test_a_blocked_store_keeps_its_record_on_removal(root: RootCertificate, record: ChangeRecord) -> None:
    store = SetStore(blocked=ChangeState(Status.LOCKED, "a password", "then devtls trust"))
    record.add(AppliedChange(Part.TRUST, "set", {root.fingerprint: root.id}))
    (proposal,) = propose_untrust([store], {root.fingerprint}, every_root=False)
    result = revert(proposal, Executor(SetRunner(store), None, record))
    assert (result.state.status, result.state.remedy) == (Status.LOCKED, "then devtls untrust")
    assert record.installed() != ()


@pytest.mark.parametrize("fails", [True, False])
def test_a_store_that_cannot_be_asked_again_is_not_called_empty(
    root: RootCertificate, record: ChangeRecord, fails: bool
) -> None:
    store = SetStore(held={root.fingerprint})
    record.add(AppliedChange(Part.TRUST, "set", {root.fingerprint: root.id}))
    (proposal,) = propose_untrust([store], {root.fingerprint}, every_root=False)
    store.held.clear()
    store.blocked = ChangeState(Status.HANGING, "its tool hangs")
    result = revert(proposal, Executor(SetRunner(store, fails=fails), None, record))
    assert result.state.status is (Status.FAILED if fails else Status.HANGING)
    assert not result.changed
    assert record.installed() != ()


def test_a_removal_that_stops_half_way_is_reported_even_when_the_root_is_gone(
    root: RootCertificate, record: ChangeRecord
) -> None:
    store = SetStore(held={root.fingerprint})
    record.add(AppliedChange(Part.TRUST, "set", {root.fingerprint: root.id}))
    (proposal,) = propose_untrust([store], {root.fingerprint}, every_root=False)
    result = revert(proposal, Executor(SetRunner(store, fails=True), None, record))
    assert (result.state.status, result.state.detail, result.changed) == (Status.FAILED, "hung", False)


def test_one_broken_store_does_not_stop_the_next(root: RootCertificate, record: ChangeRecord) -> None:
    broken, whole = SetStore("a"), SetStore("b")
    proposals = propose_trust([broken, whole], root)
    runners = [SetRunner(broken, fails=True, lies=True), SetRunner(whole)]
    results = [
        apply(proposal, Executor(runner, None, record)) for proposal, runner in zip(proposals, runners, strict=True)
    ]
    assert [result.state.status for result in results] == [Status.FAILED, Status.APPLIED]
    assert is_trusted(results)


def test_the_system_comes_first_and_recorded_databases_are_found_again(machine: Machine, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "cert9.db").touch()
    in_home = machine.home / "profile"
    in_home.mkdir()
    (in_home / "cert9.db").touch()
    recorded = ("system", f"nss:{moved}", "nss:~/profile", "nss:/gone")
    stores = find_stores(machine, ProcessRunner(), recorded=recorded)
    assert [store.name for store in stores] == ["system", f"nss:{moved}", "nss:~/profile"]
    assert stores[1].trust_state(stores[1].probe(), "").remedy.startswith("install the package")


@pytest.mark.parametrize(
    ("platform", "scope", "names"),
    [
        ("darwin", Scope.USER, ["keychain:login"]),
        ("darwin", Scope.MACHINE, ["keychain:system"]),
        ("darwin", Scope.BOTH, ["keychain:login", "keychain:system"]),
        ("win32", Scope.USER, ["windows:user"]),
        ("win32", Scope.MACHINE, ["windows:machine"]),
        ("win32", Scope.BOTH, ["windows:user", "windows:machine"]),
    ],
)
def test_each_system_has_its_own_stores(machine: Machine, platform: str, scope: Scope, names: list[str]) -> None:
    there = dataclasses.replace(machine, platform=platform)
    assert [store.name for store in find_stores(there, ProcessRunner(), scope=scope)] == names


def test_the_distributions_keystore_follows_the_system_where_something_feeds_it(
    machine: Machine, root: RootCertificate, make_tool: ToolMaker
) -> None:
    (machine.root / "usr/local/share/ca-certificates").mkdir(parents=True)
    make_tool("usr/sbin/update-ca-certificates", "")
    (machine.root / "etc/os-release").write_text("ID=debian\n")
    shared = machine.root / "etc/ssl/certs/java/cacerts"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(b"\xfe\xed\xfe\xed" + (2).to_bytes(4, "big") + bytes(4) + bytes(20))
    security = machine.root / "usr/lib/jvm/java-17/lib/security"
    security.mkdir(parents=True)
    (security / "cacerts").symlink_to(shared)
    hook = make_tool("etc/ca-certificates/update.d/jks-keystore", "")
    (java,) = [store for store in find_stores(machine, ProcessRunner()) if store.kind is Kind.RUNTIME]
    assert isinstance(java, JavaStore)
    assert java._feeder == Feeder(shared, machine.root / "usr/local/share/ca-certificates")
    hook.unlink()
    (java,) = [store for store in find_stores(machine, ProcessRunner()) if store.kind is Kind.RUNTIME]
    assert isinstance(java, JavaStore)
    assert java._feeder is None


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("system", False),
        ("nss:~/none", True),
        ("java:~/none/cacerts", True),
        ("java:~/here", False),
        ("windows", False),
    ],
)
def test_a_store_that_was_deleted_is_known_to_be_gone(machine: Machine, name: str, gone: bool) -> None:
    (machine.home / "here").touch()
    assert is_gone(name, machine) is gone


def test_a_plan_that_failed_half_way_is_reverted(root: RootCertificate, record: ChangeRecord) -> None:
    class Untrusting(SetStore):
        """Takes the certificate, but does not trust it."""

        def trust_state(self, facts: SetFacts, fingerprint: str) -> ChangeState:
            return ChangeState(Status.ABSENT)

    store = Untrusting()
    state, plan = ChangeState(Status.ABSENT), Plan((Run(("/bin/add", root.fingerprint)),))
    proposal = Proposal(store, store.probe(), root, state, plan, {root.fingerprint: root.id})
    assert apply(proposal, Executor(SetRunner(store, fails=True), None, record)).state.status is Status.FAILED
    assert store.held == set()


def test_a_running_proxy_can_ask_whether_any_store_trusts_the_root(machine: Machine, root: RootCertificate) -> None:
    bundle = machine.root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    (machine.root / "etc/os-release").write_text("ID=debian\n")
    assert not root_is_trusted(machine, ProcessRunner(), root.fingerprint)
    bundle.write_bytes(root.pem)
    assert root_is_trusted(machine, ProcessRunner(), root.fingerprint)


def test_stores_are_chosen_by_group_or_by_full_name() -> None:
    stores = (SetStore("system"), SetStore("nss:~/a"), SetStore("nss:~/b"))
    assert select_stores(stores, ()) == stores
    assert select_stores(stores, ("nss",)) == stores[1:]
    assert select_stores(stores, ("nss:~/b", "nss")) == (stores[2], stores[1])
    with pytest.raises(UnknownStore, match="no store 'java'") as caught:
        select_stores(stores, ("java",))
    assert caught.value.hint == "--store system or --store nss"
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_root_without_a_path_is_still_a_root(root: RootCertificate) -> None:
    assert RootCertificate(root.id, root.der, PurePosixPath()).fingerprint == root.fingerprint
