from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.cli.certificates import certs, revoke, unrevoke
from devtls.errors import CertificateError, DevtlsError, Refused, StateError
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.operations import revocation
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate
from devtls.pki.imported import ImportBundle, validate_import
from devtls.pki.leaf import TRANSIENT
from devtls.pki.register import Issued, serial_text
from devtls.pki.revocation import load_crl
from devtls.system.machine.randomness import new_leaf_key, new_transient_serial
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import lock
from devtls.system.storage.register import Register
from devtls.system.storage.register_file import append_event
from devtls.web.control_messages import Done, LeavesAnswer, LeavesRequest, RevokedRequest
from tests.pki.elsewhere import mkcert

_Answer = TypeVar("_Answer")


@pytest.fixture
def keystore(home: Path) -> Keystore:
    return Keystore(home / "state")


@pytest.fixture
def authority(keystore: Keystore) -> Authority:
    return keystore.create(DEFAULT_ZONES, datetime.now(UTC))


@pytest.fixture
def register(keystore: Keystore, authority: Authority) -> Register:
    return Register(keystore, authority)


class Proxy:
    """A running proxy that has leaves in memory, or cannot be asked."""

    def __init__(self, sha256: str, **serials: int) -> None:
        self.asked: list[msgspec.Struct] = []
        self.trouble: DevtlsError | None = None
        self._sha256 = sha256
        self._serials = serials

    def ask(self, _path: str, request: LeavesRequest, _kind: object) -> LeavesAnswer:
        self._note(request)
        found = self._serials.get(request.name.partition(".")[0])
        return LeavesAnswer(sha256=self._sha256, serials=() if found is None else (f"{found:x}",))

    def send(self, _path: str, request: RevokedRequest) -> Done:
        self._note(request)
        return Done(dropped=("app.test",))

    def _note(self, request: msgspec.Struct) -> None:
        self.asked.append(request)
        if self.trouble is not None:
            raise self.trouble


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> list[Proxy]:
    proxies: list[Proxy] = []
    monkeypatch.setattr(revocation, "find_running", lambda *_: proxies)
    return proxies


def issue(register: Register, *names: str) -> x509.Certificate:
    key = new_leaf_key().public_key()
    return register.issue(CertificateTemplate(names), key, by="cert", place=f"/x/{names[0]}.pem", now=datetime.now(UTC))


def serial(leaf: x509.Certificate) -> str:
    return serial_text(leaf.serial_number)


def run(module: Any, *argv: str) -> Result:
    command: click.Command = module.command
    result = CliRunner().invoke(command, argv, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def listed(register: Register) -> set[str]:
    return {serial_text(entry.serial_number) for entry in load_crl(register.published_crl())}


def test_by_serial(register: Register) -> None:
    first, _ = issue(register, "a.test"), issue(register, "a.test")
    said = run(revoke, serial(first)[:12].upper(), "--reason", "superseded")
    assert said.stdout == f"Revoked  {serial(first)[:8]}  a.test (/x/a.test.pem)\n"
    assert "CRL number 2 is signed; while devtls serve runs it is at http://127.0.0.1:" in said.stderr
    assert listed(register) == {serial(first)}
    assert register.history().revoked[serial(first)].reason == "superseded"


def test_by_name_it_is_every_certificate_that_still_counts(register: Register) -> None:
    first, other, second = (
        issue(register, "a.test", "b.test"),
        issue(register, "c.test"),
        issue(register, "B.test".lower()),
    )
    run(revoke, serial(first))
    assert listed(register) == {serial(first)}
    said = run(revoke, "B.test")
    assert said.stdout.splitlines() == [f"Revoked  {serial(second)[:8]}  b.test (/x/b.test.pem)"]
    assert listed(register) == {serial(first), serial(second)}
    with pytest.raises(CertificateError, match=r"Nothing that is named b\.test is left to revoke"):
        run(revoke, "b.test")
    assert serial(other) not in listed(register)


def test_by_file_also_when_the_register_was_lost(register: Register, tmp_path: Path) -> None:
    leaf = issue(register, "a.test")
    file = tmp_path / "a.pem"
    file.write_bytes(leaf.public_bytes(Encoding.PEM))
    register.path.unlink()
    run(revoke, str(file))
    assert listed(register) == {serial(leaf)}


def test_twice_is_no_error_and_is_shown(register: Register) -> None:
    leaf = issue(register, "a.test")
    run(revoke, serial(leaf))
    said = run(revoke, serial(leaf))
    assert said.stdout.startswith(f"Already revoked  {serial(leaf)[:8]}  a.test")
    values = json.loads(run(revoke, serial(leaf), "--json").stdout)
    assert (values["revoked"], values["already"][0]["serial"]) == ([], serial(leaf))


def test_a_hold_is_released_and_nothing_else(register: Register) -> None:
    held, final = issue(register, "a.test"), issue(register, "a.test")
    run(revoke, serial(held), "--reason", "hold")
    run(revoke, serial(final))
    with pytest.raises(Refused, match="revoked for good"):
        run(unrevoke, serial(final))
    said = run(unrevoke, "a.test")
    assert said.stdout == f"Released  {serial(held)[:8]}  a.test (/x/a.test.pem)\n"
    assert listed(register) == {serial(final)}
    with pytest.raises(CertificateError, match=r"Nothing that is named a\.test is on hold"):
        run(unrevoke, "a.test")
    with pytest.raises(Refused, match="is not revoked"):
        run(unrevoke, serial(held))


def test_a_name_on_hold_can_be_revoked_for_good(register: Register) -> None:
    leaf = issue(register, "a.test")
    run(revoke, "a.test", "--reason", "hold")
    run(revoke, "a.test", "--reason", "key-compromise")
    assert register.history().revoked[serial(leaf)].reason == "key-compromise"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("keyCompromise", "key-compromise"), ("certificateHold", "hold"), ("SUPERSEDED", "superseded")],
)
def test_reasons_may_be_spelled_as_in_rfc_5280(written: str, meant: str, register: Register) -> None:
    leaf = issue(register, "a.test")
    run(revoke, "a.test", "--reason", written)
    assert register.history().revoked[serial(leaf)].reason == meant


def test_a_name_also_means_what_running_proxies_show(
    register: Register, authority: Authority, running: list[Proxy]
) -> None:
    mine, other_ca = new_transient_serial(), new_transient_serial()
    running += [Proxy(authority.fingerprint, app=mine), Proxy("another", app=other_ca)]
    leaf = issue(register, "app.test")
    values = json.loads(run(revoke, "APP.test", "--json").stdout)
    assert {one["serial"] for one in values["revoked"]} == {serial(leaf), serial_text(mine)}
    assert values["dropped"] == ["app.test", "app.test"]
    assert listed(register) == {serial(leaf), serial_text(mine)}
    for proxy in running:
        assert proxy.asked == [LeavesRequest(name="app.test"), RevokedRequest()]


def test_in_words_it_says_which_names_get_another_key(
    register: Register, authority: Authority, running: list[Proxy]
) -> None:
    number = new_transient_serial()
    running.append(Proxy(authority.fingerprint, app=number))
    said = run(revoke, "app.test", "--reason", "hold")
    assert said.stdout == f"Revoked  {serial_text(number)}  app.test (in the memory of devtls serve)\n"
    assert "CRL number 2 is at http" in said.stderr
    assert "devtls serve shows app.test with another key from now on." in said.stderr
    run(unrevoke, serial_text(number)[:10])
    assert listed(register) == set()


def test_a_proxy_that_cannot_be_asked_is_a_remark(
    register: Register, authority: Authority, running: list[Proxy], capsys: pytest.CaptureFixture[str]
) -> None:
    running.append(Proxy(authority.fingerprint))
    running[0].trouble = DevtlsError("it does not answer")
    leaf = issue(register, "app.test")
    said = run(revoke, "app.test")
    assert listed(register) == {serial(leaf)}
    assert said.stderr.count("it does not answer") == 2


def test_a_leaf_that_was_in_memory_once_is_revoked_by_its_whole_serial_or_its_file(
    register: Register, authority: Authority, tmp_path: Path
) -> None:
    number = new_transient_serial()
    leaf = authority.issue(Hostname("app.test"), now=datetime.now(UTC), key=new_leaf_key(), serial=number)
    (tmp_path / "shown.pem").write_bytes(leaf.chain_pem)
    run(revoke, str(tmp_path / "shown.pem"))
    again = TRANSIENT | 5
    run(revoke, f"{again:x}")
    assert listed(register) == {serial_text(number), serial_text(again)}


@pytest.mark.parametrize("which", ["example.com", "abcdef012345", "none.pem", "zz" * 20, "00" * 20])
def test_what_this_ca_never_gave_out_is_refused(register: Register, which: str) -> None:
    issue(register, "a.test")
    for module in (revoke, unrevoke):
        with pytest.raises(CertificateError, match="No certificate of this CA"):
            run(module, which)
    assert listed(register) == set()


def test_after_a_renewal_each_certificate_is_revoked_by_the_ca_that_issued_it(
    register: Register, keystore: Keystore, tmp_path: Path
) -> None:
    old, file = issue(register, "a.test"), tmp_path / "a.pem"
    file.write_bytes(old.public_bytes(Encoding.PEM))
    now = datetime.now(UTC)
    keystore.switch_to_next(keystore.prepare_next(DEFAULT_ZONES, now))
    following = Register(keystore, keystore.load(now))
    new = issue(following, "a.test")
    values = json.loads(run(revoke, "a.test", "--reason", "hold", "--json").stdout)
    assert [one["number"] for one in values["lists"]] == [2, 2]
    assert (listed(register), listed(following)) == ({serial(old)}, {serial(new)})
    run(unrevoke, serial(old))
    assert (listed(register), listed(following)) == (set(), {serial(new)})
    said = run(revoke, str(file), "--reason", "superseded")
    assert said.stderr.count("CRL number") == 1
    assert register.authority.id in said.stderr
    assert listed(register) == {serial(old)}


def test_a_ca_that_signs_no_crl_is_not_claimed_to_have_one(keystore: Keystore) -> None:
    made, now = mkcert(), datetime.now(UTC)
    brought = ImportBundle(made.certificate, made.key)
    keystore.adopt(validate_import(brought, zones=(), parse_zone=Hostname, now=now, pki_port=29445).authority, now)
    issue(Register(keystore, keystore.load(now)), "a.test")
    said = run(revoke, "a.test")
    assert "CRL number" not in said.stderr
    assert "no other program learns of it" in said.stderr


def test_an_expired_certificate_is_no_longer_meant_by_its_name(register: Register) -> None:
    now = datetime.now(UTC)
    expired = Issued(
        serial="0a0b0c0d",
        at=now,
        by="cert",
        kind="server",
        names=("a.test",),
        not_before=now - timedelta(days=9),
        not_after=now - timedelta(days=1),
        key_sha256="",
        sha256="",
        place="x",
    )
    append_event(register.path.parent, expired)
    with pytest.raises(CertificateError, match="left to revoke"):
        run(revoke, "a.test")


def test_a_locked_ca_is_opened_by_a_descriptor_and_lists_need_no_passphrase(
    register: Register, keystore: Keystore, authority: Authority
) -> None:
    leaf = issue(register, "a.test")
    keystore.put_keys(authority, {each.name: lock(each.key, "ganz geheim") for each in authority.intermediates})
    with pytest.raises(StateError, match="is locked"):
        run(revoke, "a.test")
    assert register.history().revoked == {}
    assert serial(leaf)[:8] in run(certs, "list").stdout
    for module, options in ((revoke, ["--reason", "hold"]), (unrevoke, [])):
        reading, writing = os.pipe()
        os.write(writing, b"ganz geheim\n")
        os.close(writing)
        run(module, "a.test", *options, "--passphrase-fd", str(reading))
        os.close(reading)
    assert listed(register) == set()
    assert register.history().decided == {serial(leaf)}
