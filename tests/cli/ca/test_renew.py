"""One CA after the other, from the command line: made, trusted, switched to, and the one before retired."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devtls.cli.terminal import prompts
from devtls.errors import ExitCode
from devtls.names import Hostname
from devtls.pki.authority import Authority
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, ROOT_FILE
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.root import certificates_in
from devtls.system.storage.keystore import Keystore
from tests.cli.shell import Shell
from tests.system.machine.small_debian import CERTUTIL


def present(shell: Shell) -> Authority:
    return Keystore(shell.state).load(datetime.now(UTC))


def roots_of(path: Path) -> list[bytes]:
    return list(certificates_in(path.read_bytes()))


def in_stores(shell: Shell, authority: Authority) -> tuple[bool, bool]:
    return authority.root_pem in shell.bundle.read_bytes(), (shell.nss / f"devtls root {authority.id}.pem").exists()


@pytest.fixture
def old(shell: Shell) -> Authority:
    shell.succeed("trust", "--yes")
    return present(shell)


def test_the_new_root_goes_where_the_old_one_is_and_both_are_trusted(shell: Shell, old: Authority) -> None:
    result = shell.succeed("ca", "renew", "--yes")
    new = present(shell)
    assert new.fingerprint != old.fingerprint
    assert (new.zones, new.pki_port) == (old.zones, old.pki_port)
    assert in_stores(shell, old) == in_stores(shell, new) == (True, True)
    assert f"devtls root {new.id} signs from now on" in result.stderr
    assert f"devtls root {old.id} stays trusted until {old.not_after:%Y-%m-%d}" in result.stderr
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:]] == ["trusted", "trusted"]


def test_files_that_shells_name_list_both_roots_until_the_old_one_is_retired(shell: Shell, old: Authority) -> None:
    shell.succeed("ca", "renew", "--yes")
    new, files = present(shell), (shell.state / ROOT_FILE, shell.state / BUNDLE_FILE)
    assert roots_of(files[0]) == [new.root_der, old.root_der]
    assert {new.root_der, old.root_der} <= set(roots_of(files[1]))
    shell.succeed("trust", "--yes")
    shell.succeed("env")
    assert roots_of(files[0]) == [new.root_der, old.root_der]
    assert {new.root_der, old.root_der} <= set(roots_of(files[1]))
    shell.succeed("ca", "retire", "--yes")
    assert roots_of(files[0]) == [new.root_der]
    assert old.root_der not in roots_of(files[1])


def test_retiring_takes_the_old_root_out_and_deletes_its_key(shell: Shell, old: Authority) -> None:
    shell.succeed("ca", "renew", "--yes")
    new = present(shell)
    old_directory = Keystore(shell.state).directory_of(old)
    assert (old_directory / "intermediate.key").exists()
    result = shell.succeed("ca", "retire", "--yes")
    assert f"devtls root {old.id}" in result.stderr
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:]] == ["removed", "removed"]
    assert not old_directory.exists()
    assert (in_stores(shell, old), in_stores(shell, new)) == ((False, False), (True, True))
    assert {entry.fingerprint for entry in ChangeRecord(shell.state).installed()} == {new.fingerprint}
    assert "nothing to retire" in shell.succeed("ca", "retire", "--yes").stderr
    assert present(shell).fingerprint == new.fingerprint


def test_a_zone_is_added_by_a_new_root(shell: Shell, old: Authority) -> None:
    shell.succeed("ca", "renew", "--yes", "--zone", "shop.internal")
    assert present(shell).zones == (*old.zones, "shop.internal")
    error = shell.fail(ExitCode.REFUSED, "ca", "renew", "--yes", "--zone", "app.test")
    assert "for app.test already" in str(error)
    shell.fail(ExitCode.CONFIG, "ca", "renew", "--yes", "--zone", "com")


def test_a_dry_run_shows_everything_and_makes_nothing(shell: Shell, old: Authority) -> None:
    result = shell.succeed("ca", "renew", "--dry-run", "--zone", "shop.internal")
    assert "update-ca-certificates" in result.stdout
    assert "dev.local, localhost, test, shop.internal" in result.stdout
    values = json.loads(shell.succeed("ca", "renew", "--dry-run", "--json").stdout)
    assert (values["dry_run"], values["older"]["id"]) == (True, old.id)
    assert len(values["stores"]) == 2
    assert [path.name for path in shell.state.glob("ca-*[0-9a-f]") if path.is_dir()] == [f"ca-{old.id}"]
    shell.succeed("ca", "renew", "--yes")
    text = shell.succeed("ca", "retire", "--dry-run").stdout
    assert f"devtls root {old.id} would be retired" in text
    assert json.loads(shell.succeed("ca", "retire", "--dry-run", "--json").stdout)["retired"] == [old.id]
    assert in_stores(shell, old) == (True, True)


def test_a_store_without_the_old_root_does_not_get_the_new_one(shell: Shell) -> None:
    shell.succeed("trust", "--yes", "--store", "system")
    shell.succeed("ca", "renew", "--yes")
    assert in_stores(shell, present(shell)) == (True, False)


def test_a_ca_that_nobody_trusts_is_renewed_without_any_store(shell: Shell) -> None:
    shell.succeed("trust", "--yes", "--store", "system")
    shell.succeed("untrust", "--yes")
    old = present(shell)
    result = shell.succeed("ca", "renew", "--yes")
    assert "devtls trust does that" in result.stderr
    assert present(shell).fingerprint != old.fingerprint
    assert not (shell.state / ROOT_FILE).exists()


def test_a_store_that_refuses_stops_the_switch_and_the_next_run_goes_on(shell: Shell, old: Authority) -> None:
    shell.tool("usr/bin/certutil", f'case "$*" in *-A*) echo "locked" >&2; exit 1;; esac\n{CERTUTIL}')
    error = shell.fail(ExitCode.NOT_TRUSTED, "ca", "renew", "--yes")
    assert "the present CA goes on signing" in str(error)
    assert "devtls ca retire removes the new root again" in error.hint
    assert present(shell).fingerprint == old.fingerprint
    pointer = Keystore(shell.state).pointer()
    assert pointer is not None
    assert pointer.next is not None
    shell.tool("usr/bin/certutil", CERTUTIL)
    shell.succeed("ca", "renew", "--yes")
    assert present(shell).fingerprint == pointer.next.root_sha256


def test_anyway_switches_without_the_store_that_refuses(shell: Shell, old: Authority) -> None:
    shell.tool("usr/bin/certutil", f'case "$*" in *-A*) exit 1;; esac\n{CERTUTIL}')
    values = json.loads(shell.succeed("ca", "renew", "--yes", "--anyway", "--json").stdout)
    assert (values["switched"], values["older"]["id"], values["root"]["id"]) == (True, old.id, present(shell).id)


def test_a_renewal_that_was_not_finished_is_ended_by_retire(shell: Shell, old: Authority) -> None:
    shell.tool("usr/bin/certutil", f'case "$*" in *-A*) exit 1;; esac\n{CERTUTIL}')
    shell.fail(ExitCode.NOT_TRUSTED, "ca", "renew", "--yes")
    shell.tool("usr/bin/certutil", CERTUTIL)
    shell.succeed("ca", "retire", "--yes")
    pointer = Keystore(shell.state).pointer()
    assert pointer is not None
    assert (pointer.root_sha256, pointer.next) == (old.fingerprint, None)
    assert shell.bundle.read_bytes().count(b"BEGIN") == 2
    assert [path.name for path in shell.state.glob("ca-????????")] == [f"ca-{old.id}"]


@pytest.mark.parametrize("answer", ["y\n", "n\n"])
def test_it_asks_once_and_no_leaves_nothing_behind(
    shell: Shell, old: Authority, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    if answer == "y\n":
        assert shell.succeed("ca", "renew", answer=answer).stderr.count("Go ahead?") == 1
        assert present(shell).fingerprint != old.fingerprint
    else:
        shell.fail(ExitCode.REFUSED, "ca", "renew", answer=answer)
        assert present(shell).fingerprint == old.fingerprint
        assert [path.name for path in shell.state.glob("ca-????????")] == [f"ca-{old.id}"]


def test_without_a_terminal_and_under_sudo_it_refuses(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("renew", "retire"):
        assert "no terminal" in str(shell.fail(ExitCode.REFUSED, "ca", name))
        shell.fail(ExitCode.STATE, "ca", name, "--yes")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    for name in ("renew", "retire"):
        assert "without sudo" in shell.fail(ExitCode.REFUSED, "ca", name, "--yes").hint


def test_a_store_that_keeps_the_old_root_keeps_the_old_ca(shell: Shell, old: Authority) -> None:
    shell.succeed("ca", "renew", "--yes")
    shell.tool("usr/bin/certutil", f'case "$*" in *-D*) exit 1;; esac\n{CERTUTIL}')
    error = shell.fail(ExitCode.FAILED, "ca", "retire", "--yes")
    assert "nothing was deleted" in str(error)
    assert Keystore(shell.state).directory_of(old).exists()
    shell.tool("usr/bin/certutil", CERTUTIL)
    shell.succeed("ca", "retire", "--yes", "--json")
    assert not Keystore(shell.state).directory_of(old).exists()


def test_untrust_takes_both_roots_out_and_forget_both_keys(shell: Shell, old: Authority) -> None:
    shell.succeed("ca", "renew", "--yes")
    new = present(shell)
    ChangeRecord(shell.state).path.unlink()  # the pointer alone knows them
    ChangeRecord(shell.state).begin_trust()
    shell.succeed("untrust", "--yes", "--forget")
    assert in_stores(shell, old) == in_stores(shell, new) == (False, False)
    assert not shell.state.exists()


def test_a_ca_that_ended_can_still_be_renewed_and_says_so(shell: Shell) -> None:
    Keystore(shell.state).create((Hostname("test"),), datetime.now(UTC) - timedelta(days=3700))
    error = shell.fail(ExitCode.STATE, "trust", "--yes")
    assert (str(error).split(" on ")[0], error.hint) == ("The CA ended", "devtls ca renew")
    assert " ended on " in shell.succeed("ca", "renew", "--yes").stderr
    assert present(shell).zones == ("test",)


def test_trust_and_ca_speak_of_the_root_before_as_one_of_ours(shell: Shell, old: Authority) -> None:
    shell.succeed("ca", "renew", "--yes")
    assert "earlier or another CA" not in shell.succeed("trust", "--yes").stderr
    assert f"devtls root {old.id}, trusted until: devtls ca retire" in shell.succeed("ca").stdout
    older = json.loads(shell.succeed("ca", "--json").stdout)["older"]
    assert [(each["id"], each["sha256"]) for each in older] == [(old.id, old.fingerprint)]
    assert datetime.fromisoformat(older[0]["not_after"]) == old.not_after


def test_a_store_that_is_gone_is_forgotten(shell: Shell, old: Authority) -> None:
    shell.succeed("ca", "renew", "--yes")
    shutil.rmtree(shell.nss)
    shell.succeed("ca", "retire", "--yes")
    assert {
        entry.store for entry in ChangeRecord(shell.state).installed() if entry.fingerprint == old.fingerprint
    } == set()
