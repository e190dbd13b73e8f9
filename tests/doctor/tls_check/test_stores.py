"""What the stores say, with NSS databases that certutil made: trusted, without the root, and locked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devtls.doctor.tls_check.report import Mark, TlsCheckReport
from devtls.doctor.tls_check.stores import read_stores
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from tests.conftest import RequireTool
from tests.doctor.tls_check.conftest import Check
from tests.doctor.tls_check.pki import Issued, LeafSpec, make_root, showing

CHROMIUM, FIREFOX = ".local/share/pki/nssdb", ".mozilla/firefox/a.default"


@pytest.fixture
def certutil(require_tool: RequireTool, system: Path) -> Path:
    """Return the real certutil, put where the test's system has its tools."""
    tool = Path(require_tool("certutil", "apt-get install libnss3-tools"))
    place = system / "usr/bin/certutil"
    place.parent.mkdir(parents=True)
    place.symlink_to(tool)
    return tool


def database(
    certutil: Path, directory: Path, *, password: str = "", root: Path | None = None, trust: str = "C,,"
) -> None:
    directory.mkdir(parents=True)
    secret = directory / "password"
    secret.write_text(f"{password}\n")
    how = ["-f", str(secret)] if password else ["--empty-password"]
    subprocess.run([certutil, "-N", "-d", f"sql:{directory}", *how], check=True, capture_output=True, timeout=20)
    if root is not None:
        add = ["-A", "-n", "a root", "-t", trust, "-i", str(root)]
        subprocess.run([certutil, *add, "-d", f"sql:{directory}"], check=True, capture_output=True, timeout=20)


@pytest.fixture
def root_file(root: Issued, tmp_path: Path) -> Path:
    file = tmp_path / "root.pem"
    file.write_bytes(root.pem)
    return file


def checked(check: Check, root: Issued, tmp_path: Path) -> TlsCheckReport:
    with showing(tmp_path, root.issue(LeafSpec())) as port:
        report = check(port, trusted=()).report
    assert isinstance(report, TlsCheckReport)
    return report


def test_every_browser_has_it(
    check: Check, certutil: Path, root: Issued, root_file: Path, *, home: Path, tmp_path: Path
) -> None:
    for directory in (CHROMIUM, FIREFOX):
        database(certutil, home / directory, root=root_file)
    report = checked(check, root, tmp_path)
    assert report.questions[0].sentence == (
        f"a root is trusted by Chromium and Chrome (~/{CHROMIUM}) and Firefox profile (~/{FIREFOX})."
    )
    assert not report.warns


def test_one_browser_lacks_it(
    check: Check, certutil: Path, root: Issued, root_file: Path, *, home: Path, tmp_path: Path
) -> None:
    database(certutil, home / CHROMIUM, root=root_file)
    database(certutil, home / FIREFOX, root=root_file, trust=",,")
    report = checked(check, root, tmp_path)
    assert report.questions[0].mark is Mark.WARNS
    assert f"but not by Firefox profile (~/{FIREFOX})" in report.questions[0].sentence
    assert f"it comes from an unknown issuer for Firefox profile (~/{FIREFOX})" in report.verdict


def test_the_system_alone_is_not_enough_for_a_browser(
    check: Check, certutil: Path, root: Issued, home: Path, *, system: Path, tmp_path: Path
) -> None:
    (system / "etc/ssl/certs/ca-certificates.crt").write_bytes(root.pem)
    (system / "usr/local/share/ca-certificates/own.crt").write_bytes(root.pem)
    database(certutil, home / CHROMIUM)
    report = checked(check, root, tmp_path)
    assert report.questions[0].sentence == (
        "a root is trusted by System store (Debian), for other programs; browsers keep lists of their own, and none of "
        "them has it."
    )
    assert "it comes from an unknown issuer" in report.verdict


def test_a_database_that_cannot_be_asked_is_named(
    check: Check, root: Issued, home: Path, *, system: Path, tmp_path: Path
) -> None:
    (system / "etc/ssl/certs/ca-certificates.crt").write_bytes(root.pem)
    (system / "usr/local/share/ca-certificates/own.crt").write_bytes(root.pem)
    (home / CHROMIUM).mkdir(parents=True)
    (home / CHROMIUM / "cert9.db").write_bytes(b"")
    report = checked(check, root, tmp_path)
    assert f"and Chromium and Chrome (~/{CHROMIUM}) could not be asked (NSS's certutil is not installed)." in (
        report.questions[0].sentence
    )


def test_bytes_that_are_no_certificate_do_not_stop_the_others(system: Path, home: Path) -> None:
    good = make_root()
    junk = b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"
    (system / "etc/ssl/certs/ca-certificates.crt").write_bytes(junk + good.pem)
    stores = read_stores(Machine.redirected(system, home, {}), ProcessRunner(), (), {})
    assert [each.fingerprint for each in stores.anchors] == [good.facts.fingerprint]


def test_javas_own_home_is_looked_at(system: Path, home: Path, tmp_path: Path) -> None:
    keystore = tmp_path / "jdk/lib/security/cacerts"
    keystore.parent.mkdir(parents=True)
    root = make_root()
    keystore.write_bytes(b"\xfe\xed\xfe\xed" + root.facts.der)
    stores = read_stores(
        Machine.redirected(system, home, {}), ProcessRunner(), (), {"JAVA_HOME": str(tmp_path / "jdk")}
    )
    assert [(each.label, each.trusts) for each in stores.ask(root.facts) if each.kind == "runtime"] == [
        (f"Java ({keystore})", True)
    ]
