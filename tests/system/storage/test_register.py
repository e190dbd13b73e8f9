"""The register on disk: every certificate is in it before anybody has it, whatever stops the process."""

from __future__ import annotations

import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from devtls.errors import CertificateError, StateError
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate
from devtls.pki.leaf import TRANSIENT
from devtls.pki.register import Issued, serial_text
from devtls.pki.signature import sha256_hex
from devtls.system.machine.randomness import new_leaf_key, new_serial, new_transient_serial
from devtls.system.storage.ca_directory import REGISTER
from devtls.system.storage.certificate_files import chain_file, key_file, new_certificate_key, write_files
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register
from tests.system.storage.power_cut import calls_of, crash

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ORDER = CertificateTemplate(("app.dev.local", "x.test"), days=30)


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "state")


@pytest.fixture
def authority(keystore: Keystore) -> Authority:
    return keystore.create(DEFAULT_ZONES, NOW)


@pytest.fixture
def register(keystore: Keystore, authority: Authority) -> Register:
    return Register(keystore, authority)


def issue(register: Register, order: CertificateTemplate = ORDER) -> x509.Certificate:
    return register.issue(order, new_leaf_key().public_key(), by="cert", place="/x/app.pem", now=NOW)


def test_a_register_that_is_not_there_yet_says_nothing(register: Register) -> None:
    assert register.history().events == ()
    assert not register.path.exists()


def test_a_directory_whose_name_is_no_text_is_recorded_as_well_as_can_be(register: Register) -> None:
    register.issue(ORDER, new_leaf_key().public_key(), by="cert", place="/x/\udcff/app.pem", now=NOW)
    assert [one.place for one in register.history().issued.values()] == ["/x/\\udcff/app.pem"]


def test_what_is_issued_is_recorded(register: Register) -> None:
    certificate = issue(register)
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert register.history().events == (
        Issued(
            serial=serial_text(certificate.serial_number),
            at=NOW,
            by="cert",
            kind="server",
            names=("app.dev.local", "x.test"),
            not_before=NOW - timedelta(hours=1),
            not_after=NOW + timedelta(days=30),
            key_sha256=sha256_hex(key),
            sha256=sha256_hex(certificate.public_bytes(Encoding.DER)),
            place="/x/app.pem",
            issuer="intermediate",
        ),
    )
    assert stat.S_IMODE(register.path.stat().st_mode) == 0o600


def test_lines_are_only_ever_added(register: Register) -> None:
    before = b""
    for _ in range(3):
        issue(register)
        content = register.path.read_bytes()
        assert content.startswith(before)
        assert content != before
        before = content


def test_what_cannot_be_issued_is_not_recorded(register: Register) -> None:
    with pytest.raises(CertificateError):
        issue(register, CertificateTemplate(("a.test",), days=900))
    assert register.history().events == ()


def test_an_unfinished_line_is_cut_off_before_the_next_one(register: Register) -> None:
    first = issue(register)
    with register.path.open("ab") as file:
        file.write(b'{"event":"issued","serial":"00')
    assert list(register.history().issued) == [serial_text(first.serial_number)]
    second = issue(register)
    history = register.history()
    assert list(history.issued) == [serial_text(one.serial_number) for one in (first, second)]
    assert history.damaged == ()


def test_a_register_of_a_later_devtls_is_neither_read_nor_written(register: Register) -> None:
    issue(register)
    content = register.path.read_bytes() + b'{"event":"moved","format":2}\n'
    register.path.write_bytes(content)
    with pytest.raises(StateError, match="later devtls"):
        register.history()
    with pytest.raises(StateError, match="later devtls"):
        issue(register)
    assert register.path.read_bytes() == content


def test_a_ca_that_was_replaced_issues_nothing(register: Register, keystore: Keystore) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    with pytest.raises(StateError, match="was replaced"):
        issue(register)


def test_it_goes_with_its_ca(register: Register, keystore: Keystore) -> None:
    issue(register)
    keystore.forget()
    assert list(keystore.state_dir.rglob(REGISTER)) == []


def test_a_link_in_its_place_is_not_followed(register: Register, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch(0o600)
    register.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        issue(register)
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_serials_say_whether_they_are_recorded() -> None:
    for _ in range(50):
        assert new_serial() & TRANSIENT == 0
        assert new_transient_serial() & TRANSIENT
        assert new_transient_serial().bit_length() == 159  # RFC 5280 4.1.2.2: at most 20 octets, positive


def test_a_crash_at_any_step_leaves_whole_lines_that_count(register: Register) -> None:
    issue(register)
    total = calls_of(lambda: issue(register))
    assert total >= 4
    counts = set()
    for stop_at in range(1, total + 1):
        before = register.history()
        crash(stop_at, partial(issue, register))
        after = register.history()
        assert after.events[: len(before.events)] == before.events
        counts.add(len(after.events) - len(before.events))
        certificate = issue(register)
        last = register.history()
        assert last.damaged == ()
        assert len(last.events) == len(after.events) + 1
        assert last.events[-1].serial == serial_text(certificate.serial_number)
    assert counts == {0, 1}


def test_a_crash_while_the_first_line_is_written_leaves_a_register_that_works(keystore: Keystore) -> None:
    total = 0
    for stop_at in range(1, 40):
        register = Register(keystore, keystore.create(DEFAULT_ZONES, NOW))
        total = total or calls_of(partial(issue, register))
        register.path.unlink(missing_ok=True)
        if stop_at > total:
            break
        crash(stop_at, partial(issue, register))
        issue(register)
        assert register.history().damaged == ()


ISSUE = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from devtls.pki.certify import CertificateTemplate
from devtls.system.storage.keystore import Keystore
from devtls.system.machine.randomness import new_leaf_key
from devtls.system.storage.register import Register
keystore, now = Keystore(Path(sys.argv[1])), datetime.now(UTC)
register = Register(keystore, keystore.load(now))
for number in range(5):
    order = CertificateTemplate((f"{sys.argv[2]}-{number}.test",))
    register.issue(order, new_leaf_key().public_key(), by="cert", place="x", now=now)
"""


def test_processes_that_issue_at_the_same_time_lose_no_line(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "state")
    register = Register(keystore, keystore.create(DEFAULT_ZONES, datetime.now(UTC)))
    argv = [sys.executable, "-c", ISSUE, str(keystore.state_dir)]
    children = [subprocess.Popen([*argv, name]) for name in "abc"]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    names = {one.names[0] for one in register.history().issued.values()}
    assert names == {f"{name}-{number}.test" for name in "abc" for number in range(5)}


def test_a_crash_before_the_files_leaves_no_certificate_that_is_not_recorded(
    register: Register, tmp_path: Path
) -> None:
    def write(directory: Path) -> None:
        key = new_certificate_key("ecdsa")
        place = directory / "a.pem"
        leaf = register.issue(ORDER, key.public_key(), by="cert", place=str(place), now=NOW)
        write_files({directory / "a-key.pem": key_file(key)}, {place: chain_file([leaf])}, force=True)

    write(tmp_path / "first")
    total = calls_of(partial(write, tmp_path / "counted"))
    seen = set()
    for stop_at in range(1, total + 1):
        directory = tmp_path / str(stop_at)
        crash(stop_at, partial(write, directory))
        there = (directory / "a.pem").exists()
        seen.add(there)
        if there:
            leaf = x509.load_pem_x509_certificate((directory / "a.pem").read_bytes())
            assert serial_text(leaf.serial_number) in register.history().issued
            key = load_pem_private_key((directory / "a-key.pem").read_bytes(), None)
            assert key.public_key() == leaf.public_key()
        write(directory)
        assert {path.name for path in directory.iterdir()} == {"a-key.pem", "a.pem"}
    assert seen == {True, False}
