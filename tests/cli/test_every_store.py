"""Every kind of store at once, with the real certutil and the real keytool; then each of them failing in turn."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from devtls.errors import ExitCode
from devtls.system.changes.truststore.java_keystore import PASSWORD
from devtls.system.machine.execute import Finished, NotFinished, ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run
from tests.cli.shell import Shell
from tests.conftest import RequireTool
from tests.system.changes.truststore.foreign_roots import make_foreign_root
from tests.system.changes.truststore.keytool import HOW_TO_INSTALL, aliases, keytool, make_jdk

PATIENCE_S = 0.15
NSS_PACKAGE = "sudo apt-get install libnss3-tools"


@dataclass
class Workshop:
    """A machine with a system store, Chromium's database, a Firefox profile and a JDK; `certutil` is the real one."""

    shell: Shell
    certutil: str
    keytool: str

    @property
    def profile(self) -> Path:
        return self.shell.machine.home / ".mozilla/firefox/abc.default"

    @property
    def jdk(self) -> Path:
        return self.shell.machine.home / ".jdks/one"

    @property
    def cacerts(self) -> Path:
        return self.jdk / "lib/security/cacerts"

    @property
    def policies(self) -> Path:
        return self.shell.machine.root / "etc/firefox/policies/policies.json"

    def nss(self, directory: Path) -> str:
        """Return nicknames and flags as certutil itself lists them."""
        argv = [self.certutil, "-L", "-d", f"sql:{directory}"]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def everything(self) -> tuple[object, ...]:
        """Return what the stores hold: text to the byte, databases as their own tools list them."""
        databases = [self.nss(directory) for directory in (self.shell.nss, self.profile)]
        policy = self.policies.read_bytes() if self.policies.exists() else None
        anchors = sorted((self.shell.machine.root / "usr/local/share/ca-certificates").iterdir())
        return self.shell.bundle.read_bytes(), anchors, databases, aliases(self.keytool, self.cacerts), policy

    def states(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Run `devtls trust --yes` and return each store's row by the first word of its name."""
        values = json.loads(self.shell.succeed("trust", "--yes", "--json", *arguments).stdout)
        return {
            "profile" if "abc.default" in row["name"] else row["name"].partition(":")[0]: row
            for row in values["stores"]
        }


@pytest.fixture(scope="module")
def stocked(require_tool: RequireTool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a database and a JDK once: each with the root of a company."""
    directory = tmp_path_factory.mktemp("stocked")
    certutil, other = require_tool("certutil", NSS_PACKAGE), directory / "company.pem"
    other.write_bytes(make_foreign_root("Company CA"))
    database = f"sql:{directory / 'nssdb'}"
    (directory / "nssdb").mkdir()
    subprocess.run([certutil, "-N", "--empty-password", "-d", database], check=True)
    argv = [certutil, "-A", "-d", database, "-t", "CT,,C", "-n", "of a company", "-i", str(other)]
    subprocess.run(argv, check=True)
    make_jdk(directory / "jdk", require_tool("keytool", HOW_TO_INSTALL), other)
    return directory


@pytest.fixture
def workshop(shell: Shell, stocked: Path, require_tool: RequireTool) -> Workshop:
    made = Workshop(shell, require_tool("certutil", NSS_PACKAGE), require_tool("keytool", HOW_TO_INSTALL))
    link = shell.machine.root / "usr/bin/certutil"
    link.unlink()
    link.symlink_to(made.certutil)
    (shell.machine.root / "usr/bin/curl").unlink()  # what clients say is another test's question
    for directory in (shell.nss, made.profile):
        shutil.copytree(stocked / "nssdb", directory)
    shutil.copytree(stocked / "jdk", made.jdk, symlinks=True)
    return made


def test_all_of_them_trust_and_come_back_exactly(workshop: Workshop) -> None:
    before = workshop.everything()
    assert {name: row["state"] for name, row in workshop.states().items()} == {
        "system": "trusted",
        "nss": "trusted",
        "profile": "trusted",
        "java": "trusted",
    }
    assert len(aliases(workshop.keytool, workshop.cacerts)) == 2
    again = workshop.shell.succeed("trust", "--yes")
    assert "Nothing to do in any store." in again.stderr
    workshop.shell.succeed("untrust", "--yes")
    assert workshop.everything() == before


def test_they_come_back_exactly_with_the_state_directory_gone(workshop: Workshop, tmp_path: Path) -> None:
    before = workshop.everything()
    workshop.states()
    workshop.shell.state.rename(tmp_path / "first")
    workshop.states()
    workshop.shell.state.rename(tmp_path / "second")
    result = workshop.shell.succeed("untrust", "--yes")
    assert result.stdout.count("removed") == 4
    assert workshop.everything() == before


def test_a_java_home_of_then_is_found_again_by_the_record(workshop: Workshop, tmp_path: Path) -> None:
    elsewhere = workshop.jdk.rename(tmp_path / "elsewhere")
    before = aliases(workshop.keytool, elsewhere / "lib/security/cacerts")
    here = workshop.shell.machine
    workshop.shell.machine = dataclasses.replace(here, environ={"JAVA_HOME": str(elsewhere)})
    workshop.states()
    workshop.shell.machine = here
    workshop.shell.succeed("untrust", "--yes", "--forget")
    assert aliases(workshop.keytool, elsewhere / "lib/security/cacerts") == before
    assert not workshop.shell.state.exists()


def _without_certutil(workshop: Workshop) -> None:
    (workshop.shell.machine.root / "usr/bin/certutil").unlink()


def test_without_certutil_firefox_gets_a_policy_and_one_command_completes_it(workshop: Workshop) -> None:
    before = workshop.everything()
    certutil = workshop.shell.machine.root / "usr/bin/certutil"
    _without_certutil(workshop)
    result = workshop.shell.succeed("trust", "--yes")
    assert "To complete it: sudo apt install libnss3-tools, then devtls trust." in result.stderr
    assert f"Firefox, every profile ({workshop.policies})" in result.stdout
    named = json.loads(workshop.policies.read_text())["policies"]["Certificates"]["Install"]
    assert [Path(path).read_bytes() for path in named] == [(workshop.shell.state / "devtls-root.pem").read_bytes()]
    certutil.symlink_to(workshop.certutil)
    complete = workshop.shell.succeed("trust", "--yes")
    assert "To complete it" not in complete.stderr
    rows = complete.stdout.partition("\n\n")[0].splitlines()[1:]
    assert [row.split()[-1] for row in rows] == ["trusted"] * 5
    workshop.shell.succeed("untrust", "--yes")
    assert workshop.everything() == before


def test_what_a_browser_copied_into_its_database_is_not_called_gone(workshop: Workshop, tmp_path: Path) -> None:
    """Firefox copies what its policy names: without certutil that copy can be seen, but not taken out."""
    workshop.states()
    _without_certutil(workshop)
    workshop.shell.state.rename(tmp_path / "lost")
    error = workshop.shell.fail(ExitCode.FAILED, "untrust", "--yes")
    assert "may still hold the root" in str(error)
    assert "libnss3-tools, then devtls untrust" in error.hint


def _bad_refresh(script: str) -> Callable[[Workshop], None]:
    return lambda workshop: _tool(workshop, "usr/sbin/update-ca-certificates", script)


def _tool(workshop: Workshop, name: str, script: str) -> None:
    (workshop.shell.machine.root / name).unlink()
    workshop.shell.tool(name, script)


def _no_refresh(workshop: Workshop) -> None:
    (workshop.shell.machine.root / "usr/sbin/update-ca-certificates").unlink()


def _lock_profile(workshop: Workshop) -> None:
    for file in workshop.profile.iterdir():
        file.unlink()
    password = workshop.shell.machine.home / "password"
    password.write_text("hunter2\n")
    subprocess.run([workshop.certutil, "-N", "-f", password, "-d", f"sql:{workshop.profile}"], check=True)


def _damage_profile(workshop: Workshop) -> None:
    (workshop.profile / "cert9.db").write_text("no database")


def _bad_certutil(script: str) -> Callable[[Workshop], None]:
    """Make certutil misbehave for the profile only."""
    return lambda workshop: _tool(
        workshop,
        "usr/bin/certutil",
        f'case "$*" in *abc.default*) {script};; esac; exec {workshop.certutil} "$@"',
    )


def _bad_keytool(script: str) -> Callable[[Workshop], None]:
    def change(workshop: Workshop) -> None:
        tool = workshop.jdk / "bin/keytool"
        tool.unlink()
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)

    return change


def _no_keytool(workshop: Workshop) -> None:
    (workshop.jdk / "bin/keytool").unlink()


def _lock_keystore(workshop: Workshop) -> None:
    keytool(workshop.keytool, "-storepasswd", "-new", "of my own", store=workshop.cacerts)


def _damage_keystore(workshop: Workshop) -> None:
    workshop.cacerts.write_bytes(workshop.cacerts.read_bytes()[:100])


def _broken_java_home(workshop: Workshop) -> None:
    environ = {"JAVA_HOME": str(workshop.shell.machine.home / "gone")}
    workshop.shell.machine = dataclasses.replace(workshop.shell.machine, environ=environ)


def _refuses(message: str) -> str:
    return f'[ "$1" = -L ] || {{ echo "{message}" >&2; exit 255; }}'


Change: TypeAlias = Callable[[Workshop], None]
Failure: TypeAlias = tuple[str, Change, str, str]
"""Which store, what is done to it, its state afterwards, a part of the remedy."""
LABELS = {
    "system": "System store",
    "profile": "Firefox profile (~/.mozilla/firefox/abc.default)",
    "java": "Java 21 (~/.jdks/one)",
}
FAILURES: list[Failure] = [
    ("system", _no_refresh, "no tool", "sudo apt install ca-certificates, then devtls trust"),
    (
        "system",
        _bad_refresh("echo 'cp: Read-only file system' >&2; exit 1"),
        "read-only",
        "Make the directory writable",
    ),
    ("system", _bad_refresh("echo 'not permitted' >&2; exit 1"), "failed", "Run the commands above yourself"),
    ("system", _bad_refresh("exec sleep 60"), "hanging", "Run the commands above yourself"),
    ("system", _bad_refresh("exit 0"), "failed", "devtls trust"),
    ("profile", _lock_profile, "locked", "certutil asks for the password"),
    ("profile", _damage_profile, "failed", "Move the directory away"),
    ("profile", _bad_certutil("exec sleep 60"), "hanging", "Close the browser"),
    ("profile", _bad_certutil(_refuses("SEC_ERROR_READ_ONLY: read-only database.")), "read-only", "sudo chown"),
    ("profile", _bad_certutil(_refuses("cannot open: Permission denied")), "failed", "--dry-run"),
    ("java", _no_keytool, "no tool", "Install a JDK"),
    ("java", _bad_keytool("exec sleep 60"), "hanging", "Run the command above yourself"),
    ("java", _bad_keytool("echo 'keytool error: (Read-only file system)'; exit 1"), "read-only", "writable"),
    ("java", _bad_keytool("echo 'keytool error: (Permission denied)'; exit 1"), "failed", "Run the command above"),
    ("java", _bad_keytool("exit 0"), "failed", "devtls trust"),
    ("java", _lock_keystore, "locked", "asks for the password"),
    ("java", _damage_keystore, "failed", "ls -l"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: f"{failure[0]}-{failure[2]}")
def test_one_that_fails_stops_no_other_and_is_left_as_it_was(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, failure: Failure
) -> None:
    name, change, state, remedy = failure
    change(workshop)
    if state == "hanging":
        _hurry(monkeypatch, name)
    before = _contents(workshop, name)
    table = workshop.shell.succeed("trust", "--yes").stdout.partition("\n\n")[0].splitlines()[1:]
    (line,) = [line for line in table if line.startswith(LABELS[name])]
    assert line.removeprefix(LABELS[name]).split("  ", 1)[1].lstrip().startswith(state), line
    assert remedy in line
    assert [other.rstrip().endswith("trusted") for other in table if other != line] == [True, True, True], table
    assert _contents(workshop, name) == before


def _hurry(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Give the one tool that hangs a moment only; those that work keep their usual time."""
    started = ProcessRunner.run
    part = {"system": "update-ca-certificates", "profile": "abc.default", "java": "keytool"}[name]

    def hurried(self: ProcessRunner, run: Run) -> Finished | NotFinished:
        hangs = any(part in word for word in run.argv)
        return started(self, dataclasses.replace(run, timeout_s=PATIENCE_S) if hangs else run)

    monkeypatch.setattr(ProcessRunner, "run", hurried)


def _contents(workshop: Workshop, name: str) -> object:
    """Return what a store holds: every file of it, but a database that can be read as certutil lists it."""
    machine = workshop.shell.machine
    directories = {
        "system": (workshop.shell.bundle.parent, machine.root / "usr/local/share/ca-certificates"),
        "profile": (workshop.profile,),
        "java": (workshop.cacerts.parent,),
    }[name]
    argv = [workshop.certutil, "-L", "-d", f"sql:{workshop.profile}"]
    listed = subprocess.run(argv, capture_output=True, text=True, check=False) if name == "profile" else None
    if listed is not None and listed.returncode == 0:
        return listed.stdout
    return {str(file): file.read_bytes() for directory in directories for file in directory.iterdir() if file.is_file()}


def test_a_broken_java_home_is_one_row_more(workshop: Workshop) -> None:
    _broken_java_home(workshop)
    values = json.loads(workshop.shell.succeed("trust", "--yes", "--json").stdout)
    states = [(row["name"], row["state"]) for row in values["stores"] if row["name"].startswith("java:")]
    assert states == [
        ("java:~/gone/lib/security/cacerts", "failed"),
        ("java:~/.jdks/one/lib/security/cacerts", "trusted"),
    ]
    workshop.shell.succeed("untrust", "--yes")


def test_a_policy_that_is_no_json_is_left_alone(workshop: Workshop) -> None:
    _without_certutil(workshop)
    workshop.policies.parent.mkdir(parents=True)
    workshop.policies.write_text("{")
    rows = workshop.states()
    assert (rows["firefox-policy"]["state"], rows["system"]["state"]) == ("by hand", "trusted")
    assert workshop.policies.read_text() == "{"


def test_if_only_java_trusts_it_that_is_not_enough(workshop: Workshop) -> None:
    error = workshop.shell.fail(ExitCode.NOT_TRUSTED, "trust", "--yes", "--store", "java")
    assert "Neither the system's store nor a browser's" in str(error)
    assert len(aliases(workshop.keytool, workshop.cacerts)) == 2


def _leave_mkcerts_root(workshop: Workshop, certificate: Path) -> None:
    anchors = workshop.shell.machine.root / "usr/local/share/ca-certificates"
    (anchors / "mkcert_development_CA_42.crt").write_bytes(certificate.read_bytes())
    subprocess.run([str(workshop.shell.machine.root / "usr/sbin/update-ca-certificates")], check=True)
    nickname = "mkcert development CA 42"
    argv = [workshop.certutil, "-A", "-d", f"sql:{workshop.profile}", "-t", "C,,", "-n", nickname]
    subprocess.run([*argv, "-i", str(certificate)], check=True)
    where = ("-keystore", str(workshop.cacerts), "-storepass", PASSWORD)
    argv = [workshop.keytool, "-importcert", "-noprompt", "-alias", "mkcert42", "-file", str(certificate), *where]
    subprocess.run(argv, check=True, capture_output=True)


def test_uninstall_takes_mkcerts_root_along_as_its_advice_says(workshop: Workshop, mkcert_root: Path) -> None:
    clean = workshop.everything()
    _leave_mkcerts_root(workshop, mkcert_root)
    workshop.shell.succeed("trust", "--yes")
    assert "--also mkcert removes it." in workshop.shell.succeed("uninstall", "--dry-run").stderr
    workshop.shell.succeed("uninstall", "--yes", "--also", "mkcert")
    assert workshop.everything() == clean


def test_mkcerts_root_is_named_and_goes_only_when_asked_for(workshop: Workshop, mkcert_root: Path) -> None:
    clean = workshop.everything()
    _leave_mkcerts_root(workshop, mkcert_root)
    before = workshop.everything()
    workshop.states()
    preview = workshop.shell.succeed("untrust", "--dry-run", "--also", "mkcert", "--also", "caddy")
    assert preview.stdout.endswith("Nothing was changed.\n")
    assert "No store that devtls looks at holds a root of caddy." in preview.stderr
    assert "a root of mkcert" not in preview.stderr
    result = workshop.shell.succeed("untrust", "--yes")
    assert workshop.everything() == before
    assert "A root of mkcert (mkcert somebody@laptop) stays in: System store, Firefox profile" in result.stderr
    assert "--also mkcert removes it." in result.stderr
    shown = json.loads(workshop.shell.succeed("untrust", "--dry-run", "--json").stdout)
    assert [(other["tool"], len(other["stores"])) for other in shown["others"]] == [("mkcert", 3)]
    values = json.loads(workshop.shell.succeed("untrust", "--yes", "--json", "--also", "mkcert").stdout)
    assert values["others"] == []
    assert workshop.everything() == clean
    assert workshop.shell.run("untrust", "--yes", "--also", "nosuchtool").exit_code == ExitCode.USAGE


def test_the_machine_of_these_tests_is_redirected(workshop: Workshop) -> None:
    assert Machine.here().root != Path("/")
