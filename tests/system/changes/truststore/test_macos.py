from __future__ import annotations

import base64
import dataclasses
import plistlib
from pathlib import Path
from typing import Any

import pytest

from devtls.system.changes.change import Kind, Status
from devtls.system.changes.engine import Executor, apply
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.macos import Domain, KeychainStore, read_trust_settings
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, pem_of, sha1_of
from devtls.system.changes.truststore.store import propose_trust
from devtls.system.machine.execute import Finished, NotFinished, Outcome, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ELEVATED_S, RemoveFile, Run, WriteFile
from tests.system.changes.truststore.golden_plans import check_section

SSL = base64.b64decode("KoZIhvdjZAED")
BASIC = base64.b64decode("KoZIhvdjZAEC")


def _rules(result: int | None = 1) -> list[dict[str, Any]]:
    given = {} if result is None else {"kSecTrustSettingsResult": result}
    return [
        {"kSecTrustSettingsPolicy": SSL, "kSecTrustSettingsPolicyName": "sslServer", **given},
        {"kSecTrustSettingsPolicy": BASIC, "kSecTrustSettingsPolicyName": "basicX509", **given},
    ]


class Mac:
    """macOS as its `security` shows it: keychains of certificates, and trust settings for each domain."""

    def __init__(self) -> None:
        self.keychains: dict[str, list[bytes]] = {}
        self.settings: dict[bool, dict[str, Any]] = {False: {}, True: {}}
        self.desktop = "Aqua"
        self.answer: Finished | NotFinished = Finished(0)
        self.calls: list[Run] = []

    def run(self, run: Run) -> Finished | NotFinished:
        self.calls.append(run)
        tool, verb, *arguments = run.argv
        if tool == "/usr/bin/tee":
            Path(verb).parent.mkdir(parents=True, exist_ok=True)
            Path(verb).write_bytes(run.stdin or b"")
        if tool == "/bin/rm":
            Path(arguments[-1]).unlink(missing_ok=True)
        if tool == "/bin/launchctl":
            return Finished(0, self.desktop.encode() + b"\n")
        admin = "-d" in arguments
        match verb:
            case "find-certificate":
                held = self.keychains.get(arguments[-1], [])
                return Finished(0, b"".join(f"SHA-1 hash: {sha1_of(der)}\n".encode() + pem_of(der) for der in held))
            case "trust-settings-export":
                if not self.settings[admin]:
                    return Finished(
                        1, b"", b"SecTrustSettingsCreateExternalRepresentation: No Trust Settings were found."
                    )
                data = {"trustList": self.settings[admin], "trustVersion": 1}
                Path(arguments[-1]).write_bytes(plistlib.dumps(data))
            case "add-trusted-cert":
                (der,) = certificates_in(Path(arguments[-1]).read_bytes())
                self.keychains.setdefault(arguments[-2], []).append(der)
                if self.answer == Finished(0):
                    self.settings[admin][sha1_of(der)] = {"trustSettings": _rules()}
                return self.answer
            case "remove-trusted-cert":
                (der,) = certificates_in(Path(arguments[-1]).read_bytes())
                del self.settings[admin][sha1_of(der)]
            case "delete-certificate":
                held = self.keychains[arguments[-1]]
                held[:] = [der for der in held if sha1_of(der) != arguments[1]]
        return Finished(0)


@pytest.fixture
def mac() -> Mac:
    return Mac()


@pytest.fixture
def machine(machine: Machine) -> Machine:
    (machine.home / "Library/Caches").mkdir(parents=True)
    return dataclasses.replace(machine, platform="darwin")


def _store(domain: Domain, machine: Machine, mac: Mac) -> KeychainStore:
    return KeychainStore(domain, machine, mac)


@pytest.mark.parametrize("domain", Domain)
def test_the_plans_are_the_ones_of_the_manual(
    domain: Domain, machine: Machine, mac: Mac, root: RootCertificate, older_root: RootCertificate
) -> None:
    store = _store(domain, machine, mac)
    installing = store.apply_plan(store.probe(), root)
    keychain = str(store._keychain)
    mac.keychains[keychain] = [root.der, older_root.der]
    mac.settings[domain is Domain.ADMIN] = {sha1_of(root.der): {"trustSettings": _rules()}}
    removing = store.revert_plan(store.probe(), {root.fingerprint, older_root.fingerprint})
    names = {
        str(root.path): "ROOT.pem",
        root.pem.decode(): "PEM\n",
        sha1_of(root.der): "ROOT-SHA1",
        sha1_of(root.der)[:8].lower(): "root-sha",
        sha1_of(older_root.der): "OLDER-SHA1",
        str(machine.home): "/Users/me",
        str(machine.root): "",
    }
    check_section(f"macOS, {domain.value}", (installing, removing), names)
    assert store.kind is Kind.SYSTEM
    (adding,) = [step for step in installing.steps if isinstance(step, Run)]
    assert adding.timeout_s == ELEVATED_S


@pytest.mark.parametrize("domain", Domain)
def test_a_root_comes_and_goes_with_its_trust_settings(
    domain: Domain, machine: Machine, mac: Mac, root: RootCertificate, older_root: RootCertificate
) -> None:
    store = _store(domain, machine, mac)
    mac.keychains[str(store._keychain)] = [older_root.der]
    record = ChangeRecord(machine.home / "state")
    (proposal,) = propose_trust([store], root)
    result = apply(proposal, Executor(mac, machine.elevation, record))
    assert (result.state.status, result.name) == (Status.APPLIED, f"keychain:{domain.value}")
    assert not store.apply_plan(store.probe(), root)
    assert {found.fingerprint for found in store.probe().roots} == {root.fingerprint, older_root.fingerprint}
    for step in store.revert_plan(store.probe(), {root.fingerprint}).steps:
        if isinstance(step, Run):
            assert mac.run(step) == Finished(0)
        elif isinstance(step, WriteFile):
            Path(step.path).write_bytes(step.content)
        elif isinstance(step, RemoveFile):
            Path(step.path).unlink()
    assert mac.keychains[str(store._keychain)] == [older_root.der]
    assert mac.settings == {False: {}, True: {}}
    assert list((machine.home / "Library/Caches").iterdir()) == []


def test_a_certificate_without_trust_settings_is_not_trusted(machine: Machine, mac: Mac, root: RootCertificate) -> None:
    store = _store(Domain.USER, machine, mac)
    mac.keychains[str(store._keychain)] = [root.der]
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, "without trust" in state.detail) == (Status.ABSENT, True)
    assert store.apply_plan(store.probe(), root)


@pytest.mark.parametrize(
    ("rules", "trusted"),
    [
        (_rules(), True),
        (_rules(None), True),
        (_rules(2), True),
        (_rules(3), False),
        ([], True),
        ([{"kSecTrustSettingsResult": 1}], True),
        (_rules()[1:], False),
    ],
)
def test_trust_settings_mean_what_apples_manual_says(
    machine: Machine, mac: Mac, root: RootCertificate, rules: list[dict[str, Any]], trusted: bool
) -> None:
    store = _store(Domain.USER, machine, mac)
    mac.keychains[str(store._keychain)] = [root.der]
    mac.settings[False] = {sha1_of(root.der): {"trustSettings": rules}}
    assert (store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED) is trusted


@pytest.mark.parametrize("data", [b"", b"junk", b"<?xml", plistlib.dumps({}), plistlib.dumps({"trustList": {"A": 1}})])
def test_settings_that_make_no_sense_are_none(data: bytes) -> None:
    assert read_trust_settings(data) == {}


def test_where_no_window_can_be_shown_nothing_is_started(machine: Machine, mac: Mac, root: RootCertificate) -> None:
    mac.desktop = "Background"
    store = _store(Domain.USER, machine, mac)
    facts = store.probe()
    state = store.trust_state(facts, root.fingerprint)
    assert (state.status, "devtls trust --system" in state.remedy) == (Status.MANUAL, True)
    assert not store.apply_plan(facts, root)
    assert "Keychain Access" in store.explain(facts, root)
    assert _store(Domain.ADMIN, machine, mac).apply_plan(_store(Domain.ADMIN, machine, mac).probe(), root)


@pytest.mark.parametrize(
    "answer",
    [
        ("The authorization was canceled by the user.", Status.SKIPPED),
        ("The authorization was denied since no user interaction was possible.", Status.LOCKED),
        ("SecKeychainItemCreate: User interaction is not allowed.", Status.LOCKED),
        ("Error reading file", Status.FAILED),
    ],
)
def test_a_certificate_that_was_added_without_trust_is_reverted(
    machine: Machine, mac: Mac, root: RootCertificate, answer: tuple[str, Status]
) -> None:
    said, status = answer
    mac.answer = Finished(1, b"", said.encode())
    store = _store(Domain.USER, machine, mac)
    (proposal,) = propose_trust([store], root)
    result = apply(proposal, Executor(mac, machine.elevation, ChangeRecord(machine.home / "state")))
    assert result.state.status is status
    assert result.state.remedy
    assert mac.keychains[str(store._keychain)] == []


@pytest.mark.parametrize(
    ("trouble", "status"), [(StepFailure.TIMED_OUT, Status.HANGING), (StepFailure.NO_TOOL, Status.NO_TOOL)]
)
def test_a_security_that_cannot_be_asked_is_reported(
    machine: Machine, root: RootCertificate, trouble: StepFailure, status: Status
) -> None:
    class Silent:
        def run(self, run: Run) -> Finished | NotFinished:
            return NotFinished(trouble, "why")

    store = KeychainStore(Domain.USER, machine, Silent())
    assert store.trust_state(store.probe(), root.fingerprint).status is status
    assert not store.apply_plan(store.probe(), root)
    assert store.read_failure(store.probe(), Outcome(None, trouble, "why")).status is status
