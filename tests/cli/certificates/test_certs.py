from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.cli.ca import intermediate as ca_intermediate
from devtls.cli.certificates.certs import command
from devtls.errors import CertificateError, Refused
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate
from devtls.pki.register import Issued, serial_text
from devtls.system.machine.randomness import new_leaf_key
from devtls.system.storage.ca_directory import Locks
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import lock
from devtls.system.storage.register import Register
from devtls.system.storage.register_file import append_event
from tests.pki.elsewhere import mkcert


@pytest.fixture
def keystore(home: Path) -> Keystore:
    return Keystore(home / "state")


@pytest.fixture
def authority(keystore: Keystore) -> Authority:
    return keystore.create(DEFAULT_ZONES, datetime.now(UTC))


@pytest.fixture
def register(keystore: Keystore, authority: Authority) -> Register:
    return Register(keystore, authority)


def issue(register: Register, *names: str, days_ago: int = 0) -> x509.Certificate:
    key, now = new_leaf_key().public_key(), datetime.now(UTC) - timedelta(days=days_ago)
    return register.issue(CertificateTemplate(names, days=90), key, by="cert", place=f"/x/{names[0]}.pem", now=now)


def run(*argv: str) -> Result:
    result = CliRunner().invoke(command, argv, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def record(serial: str, name: str, not_after: datetime) -> Issued:
    at = not_after - timedelta(days=90)
    return Issued(
        serial=serial,
        at=at,
        by="acme",
        kind="server",
        names=(name,),
        not_before=at,
        not_after=not_after,
        key_sha256="aa",
        sha256="bb",
        place="x",
    )


def test_an_empty_register_lists_nothing(register: Register) -> None:
    said = run("list")
    assert said.stdout == ""
    assert "There are none" in said.stderr
    assert json.loads(run("list", "--json").stdout) == []


def test_the_list_has_a_line_for_each(register: Register) -> None:
    first, second = issue(register, "a.test", "b.test"), issue(register, "c.test")
    title, *lines = run("list").stdout.splitlines()
    assert title.split() == ["SERIAL", "NAMES", "FOR", "UNTIL", "STATE", "PLACE"]
    for line, leaf, names in zip(lines, (first, second), ("a.test, b.test", "c.test"), strict=True):
        assert line.startswith(serial_text(leaf.serial_number)[:8] + "  " + names + " ")
        assert f"  {leaf.not_valid_after_utc:%Y-%m-%d}  valid  /x/" in line


def test_alone_it_is_the_list(register: Register) -> None:
    issue(register, "a.test")
    assert run().stdout == run("list").stdout


def test_what_has_expired_is_listed_on_demand(register: Register) -> None:
    old = record("0123456789", "old.test", datetime.now(UTC) - timedelta(days=1))
    issue(register, "a.test")
    append_event(register.path.parent, old)
    assert "old.test" not in run("list").stdout
    (line,) = (line for line in run("list", "--all").stdout.splitlines() if "old.test" in line)
    assert "expired" in line
    assert [one["state"] for one in json.loads(run("list", "--all", "--json").stdout)] == ["valid", "expired"]


def test_one_is_shown_by_name_serial_and_file(register: Register, tmp_path: Path) -> None:
    leaf = issue(register, "a.test", "b.test")
    issue(register, "c.test")
    serial = serial_text(leaf.serial_number)
    pem, der = tmp_path / "a.pem", tmp_path / "a.cer"
    pem.write_bytes(leaf.public_bytes(Encoding.PEM))
    der.write_bytes(leaf.public_bytes(Encoding.DER))
    shown = {run("show", which).stdout for which in ("B.test", serial, serial[:8].upper(), str(pem), str(der))}
    assert len(shown) == 1
    (text,) = shown
    assert f"Serial    {serial}\nNames     a.test, b.test\n" in text
    assert "by devtls cert" in text
    (values,) = json.loads(run("show", "a.test", "--json").stdout)
    assert values["serial"] == serial
    assert values["place"] == "/x/a.test.pem"
    assert (values["state"], values["revoked_at"], values["reason"]) == ("valid", None, None)


def test_a_name_may_have_several(register: Register) -> None:
    issue(register, "a.test")
    issue(register, "a.test")
    assert len(json.loads(run("show", "a.test", "--json").stdout)) == 2
    assert run("show", "a.test").stdout.count("Serial ") == 2


def test_a_serial_that_is_too_short_to_tell_is_refused(register: Register) -> None:
    issue(register, "a.test")
    for serial in ("0123456701", "0123456702"):
        append_event(register.path.parent, record(serial, "x.test", datetime.now(UTC)))
    with pytest.raises(Refused, match="2 serial numbers begin with '01234567'"):
        run("show", "01234567")


@pytest.mark.parametrize("which", ["none.test", "abcdef01", "nowhere.pem", "x" * 5000])
def test_a_certificate_that_is_not_there_is_an_error(register: Register, which: str) -> None:
    with pytest.raises(CertificateError, match="No certificate of this CA") as caught:
        run("show", which)
    assert caught.value.hint == "devtls certs list"


def test_files_of_others_are_refused(register: Register, authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    path.write_bytes(b"hello")
    with pytest.raises(CertificateError, match="There is no certificate in"):
        run("show", str(path))
    path.write_bytes(mkcert().certificate.public_bytes(Encoding.PEM))
    with pytest.raises(CertificateError, match="none of this CA's"):
        run("show", str(path))
    path.write_bytes(authority.intermediate_pem)
    with pytest.raises(CertificateError, match="is in no register"):
        run("show", str(path))


def test_certificates_of_an_older_ca_are_listed_as_long_as_it_is_trusted(
    register: Register, keystore: Keystore
) -> None:
    old, now = issue(register, "a.test"), datetime.now(UTC)
    keystore.switch_to_next(keystore.prepare_next(DEFAULT_ZONES, now))
    new = issue(Register(keystore, keystore.load(now)), "b.test")
    shown = [one["serial"] for one in json.loads(run("list", "--json").stdout)]
    assert shown == [serial_text(one.serial_number) for one in (old, new)]
    assert "a.test" in run("show", "a.test").stdout
    keystore.retire({register.authority.fingerprint})
    assert "a.test" not in run("list").stdout


def test_lines_that_cannot_be_read_are_reported(register: Register) -> None:
    issue(register, "a.test")
    register.path.write_bytes(b"???\n" + register.path.read_bytes())
    said = run("list")
    assert said.stderr == "warning: The register has lines that cannot be read: 1.\n"
    assert "a.test" in said.stdout


def test_text_from_outside_is_escaped(register: Register) -> None:
    issue(register, "a.test")
    append_event(register.path.parent, record("ab" * 9, "\x1b[31mred", datetime.now(UTC) + timedelta(days=1)))
    assert "\x1b" not in run("list").stdout + run("show", "ab" * 9).stdout


def test_an_intermediate_for_a_colleague_is_recorded_too(keystore: Keystore, tmp_path: Path) -> None:
    locks = Locks(root=partial(lock, passphrase="ganz geheim"))
    authority = keystore.create(DEFAULT_ZONES, datetime.now(UTC), locks=locks)
    (tmp_path / "passphrase").write_text("ganz geheim")
    with (tmp_path / "passphrase").open("rb") as file:
        argv = ["--zone", "shop.test", "--out", str(tmp_path), "--passphrase-fd", str(file.fileno())]
        assert CliRunner().invoke(ca_intermediate.command, argv, catch_exceptions=False).exit_code == 0
    (one,) = Register(keystore, authority).history().issued.values()
    assert (one.kind, one.by, one.names, one.place) == (
        "intermediate",
        "ca intermediate",
        ("shop.test",),
        str(tmp_path),
    )
    assert "intermediate" in run("list").stdout
