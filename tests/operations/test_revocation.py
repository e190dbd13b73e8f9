"""Revocations without a command line: the certificates that are meant, the CRLs, and the proxies that are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import CertificateError, DevtlsError, Refused
from devtls.names import DEFAULT_ZONES
from devtls.operations import revocation
from devtls.operations.ca_keys import root_key_lock
from devtls.operations.context import Context
from devtls.operations.intermediates import IntermediateRequest, issue_intermediate
from devtls.operations.revocation import IN_MEMORY, apply_revocation, plan_release, plan_revocation
from devtls.pki import locked_key
from devtls.pki.certify import CertificateTemplate
from devtls.pki.leaf import TRANSIENT
from devtls.pki.register import serial_text
from devtls.pki.revocation import load_crl
from devtls.system.machine.randomness import new_leaf_key, new_transient_serial
from devtls.system.storage.passphrase import PassphraseSource
from devtls.system.storage.register import Register
from devtls.web.control_messages import Done, LeavesAnswer
from tests.operations.recording import RecordingReporter


class Proxy:
    """A running proxy with one leaf in memory, or one that cannot be asked."""

    def __init__(self, sha256: str, serial: int = 0, error: DevtlsError | None = None) -> None:
        self._answer = LeavesAnswer(sha256=sha256, serials=(f"{serial:x}",) if serial else ())
        self._error = error

    def ask(self, _path: str, _request: Any, _kind: Any) -> LeavesAnswer:
        self._check()
        return self._answer

    def send(self, _path: str, _request: Any) -> Done:
        self._check()
        return Done(dropped=("app.test",))

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> list[Proxy]:
    proxies: list[Proxy] = []
    monkeypatch.setattr(revocation, "find_running", lambda *_: proxies)
    return proxies


@pytest.fixture
def register(context: Context) -> Register:
    return Register(context.keystore, context.keystore.create(DEFAULT_ZONES, context.now))


def issue(register: Register, context: Context, *names: str) -> str:
    key = new_leaf_key().public_key()
    leaf = register.issue(CertificateTemplate(names), key, by="cert", place="x", now=context.now)
    return serial_text(leaf.serial_number)


def listed(register: Register, *, of_root: bool = False) -> set[str]:
    return {serial_text(entry.serial_number) for entry in load_crl(register.published_crl(of_root=of_root))}


def test_a_plan_changes_nothing(context: Context, register: Register) -> None:
    serial = issue(register, context, "a.test")
    plan = plan_revocation(context, "a.test", "superseded")
    assert [target.serial for target in plan.targets] == [serial]
    assert (plan.reason, plan.of_root, plan.running) == ("superseded", False, ())
    assert (listed(register), register.history().revoked) == (set(), {})


def test_a_name_means_every_valid_certificate_and_what_proxies_show(
    context: Context, register: Register, running: list[Proxy]
) -> None:
    number = new_transient_serial()
    running += [Proxy(register.authority.fingerprint, number), Proxy("of another CA", new_transient_serial())]
    first, second = issue(register, context, "app.test"), issue(register, context, "app.test", "b.test")
    apply_revocation(context, plan_revocation(context, first, "superseded"))
    result = apply_revocation(context, plan_revocation(context, "APP.test", "superseded"))
    places = {target.serial: target.place for target in result.plan.targets}
    assert places == {second: "x", serial_text(number): IN_MEMORY}
    assert listed(register) == {first, second, serial_text(number)} == {first, *result.changed}
    assert result.renewed_names == ("app.test", "app.test")


def test_a_proxy_that_cannot_be_asked_is_reported(
    context: Context, register: Register, running: list[Proxy], reporter: RecordingReporter
) -> None:
    running.append(Proxy("", error=DevtlsError("it does not answer")))
    serial = issue(register, context, "a.test")
    result = apply_revocation(context, plan_revocation(context, "a.test", "superseded"))
    assert (result.changed, result.renewed_names) == (frozenset({serial}), ())
    assert reporter.of("error") == ["it does not answer"] * 2


def test_a_second_time_nothing_is_changed(context: Context, register: Register) -> None:
    serial = issue(register, context, "a.test")
    for changed in ({serial}, set()):
        assert apply_revocation(context, plan_revocation(context, serial, "superseded")).changed == changed
    with pytest.raises(CertificateError, match="left to revoke"):
        plan_revocation(context, "a.test", "superseded")


def test_only_a_hold_is_released(context: Context, register: Register) -> None:
    held, final = issue(register, context, "a.test"), issue(register, context, "b.test")
    apply_revocation(context, plan_revocation(context, held, "hold"))
    apply_revocation(context, plan_revocation(context, final, "superseded"))
    plan = plan_release(context, "a.test")
    assert (plan.reason, [target.serial for target in plan.targets]) == (None, [held])
    assert apply_revocation(context, plan).changed == {held}
    assert listed(register) == {final}
    with pytest.raises(CertificateError, match="is on hold"):
        plan_release(context, "a.test")
    with pytest.raises(Refused, match="revoked for good"):
        apply_revocation(context, plan_release(context, final))


def test_a_leaf_of_memory_is_meant_by_its_whole_serial_number(context: Context, register: Register) -> None:
    serial = f"{TRANSIENT | 5:x}"
    (target,) = plan_revocation(context, serial, "superseded").targets
    assert (target.serial, target.place, target.kind) == (serial, IN_MEMORY, None)
    with pytest.raises(CertificateError, match="No certificate of this CA"):
        plan_revocation(context, serial[:20], "superseded")


def test_the_ca_of_this_machine_is_not_revoked(context: Context, register: Register, tmp_path: Path) -> None:
    certificate = register.authority.intermediate.certificate
    (tmp_path / "own.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    for wanted in (serial_text(certificate.serial_number), str(tmp_path / "own.pem")):
        with pytest.raises(Refused, match="this machine's own CA") as caught:
            plan_revocation(context, wanted, "superseded")
        assert "devtls ca renew" in caught.value.hint


def test_each_certificate_is_listed_by_the_ca_that_issued_it(context: Context, register: Register) -> None:
    old = issue(register, context, "a.test")
    context.keystore.switch_to_next(context.keystore.prepare_next(DEFAULT_ZONES, context.now))
    following = Register(context.keystore, context.keystore.load(context.now))
    new = issue(following, context, "a.test")
    result = apply_revocation(context, plan_revocation(context, "a.test", "superseded"))
    assert (listed(register), listed(following)) == ({old}, {new})
    assert [crl.number for crl in result.crls] == [2, 2]


def test_an_intermediate_is_revoked_with_the_roots_key(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))
    known = PassphraseSource(ask=lambda _question: "correct horse battery")
    authority = context.keystore.create(DEFAULT_ZONES, context.now, locks=root_key_lock(known))
    knowing = replace(context, passphrases=known)
    issued = issue_intermediate(knowing, IntermediateRequest(None, (), 30, tmp_path))
    leaf = issue(Register(context.keystore, authority), context, "a.test")
    with pytest.raises(Refused, match="intermediates alone"):
        plan_revocation(context, leaf, "ca-compromise")
    plan = plan_revocation(context, issued.serial, "ca-compromise")
    assert (plan.of_root, plan.targets[0].names) == (True, DEFAULT_ZONES)
    with pytest.raises(DevtlsError, match="nobody to ask"):
        apply_revocation(context, plan)
    result = apply_revocation(knowing, plan)
    register = Register(context.keystore, context.keystore.load(context.now))
    assert (listed(register, of_root=True), listed(register)) == ({issued.serial}, set())
    assert result.crls[0].url.endswith(f"/root-{authority.id}.crl")
    assert isinstance(load_crl(register.published_crl(of_root=True)), x509.CertificateRevocationList)
