from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from devtls.cli.group import cli
from devtls.cli.terminal import prompts
from devtls.cli.trust import trust_view
from devtls.errors import ExitCode
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki.authority import Authority
from devtls.system.changes.change import Part
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, ROOT_FILE
from devtls.system.changes.record import AppliedChange, ChangeRecord
from devtls.system.machine.elevation import find_elevation
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Elevation
from devtls.system.storage.ca_directory import NO_LOCKS, Locks
from devtls.system.storage.keystore import Keystore
from tests.cli.shell import Shell
from tests.system.machine.small_debian import CURL, HANDSHAKE


def _elevate(shell: Shell, monkeypatch: pytest.MonkeyPatch, elevation: Elevation | None) -> None:
    machine = shell.machine
    changed = Machine(machine.root, machine.home, machine.data_home, machine.config_home, (), elevation)
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: changed))


def test_trust_makes_the_ca_fills_the_stores_and_proves_it(shell: Shell) -> None:
    result = shell.succeed("trust", "--yes")
    assert "Made devtls root" in result.stderr
    assert "update-ca-certificates" in result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["trusted", "trusted"]
    assert any(line.startswith("curl") and f"CURL_CA_BUNDLE={shell.state / BUNDLE_FILE}" in line for line in lines)
    assert (shell.state / ROOT_FILE).read_bytes() in shell.bundle.read_bytes()
    assert "Restart browsers" in result.stderr


def test_a_second_run_has_nothing_to_do_and_still_proves(shell: Shell) -> None:
    shell.succeed("trust", "--yes")
    result = shell.succeed("trust", "--yes")
    assert "Nothing to do" in result.stderr
    assert "Using devtls root" in result.stderr
    assert "curl" in result.stdout


def test_json_is_one_document_on_stdout(shell: Shell) -> None:
    values = json.loads(shell.succeed("trust", "--yes", "--json").stdout)
    assert values["trusted"] is True
    assert [store["state"] for store in values["stores"]] == ["trusted", "trusted"]
    assert [client["foreign"] for client in values["clients"]] == ["refused for its name"]
    assert values["root"]["zones"] == ["dev.local", "localhost", "test"]


def test_without_a_terminal_nothing_happens_unless_yes_is_given(shell: Shell) -> None:
    error = shell.fail(ExitCode.REFUSED, "trust")
    assert "no terminal" in str(error)
    assert "--yes" in error.hint
    assert not shell.state.exists()


@pytest.mark.parametrize(("answer", "trusted"), [("y\n", True), ("n\n", False)])
def test_a_terminal_is_asked_once(shell: Shell, monkeypatch: pytest.MonkeyPatch, answer: str, trusted: bool) -> None:
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    if trusted:
        assert shell.succeed("trust", answer=answer).stderr.count("Go ahead?") == 1
    else:
        assert str(shell.fail(ExitCode.REFUSED, "trust", answer=answer)).endswith("nothing was changed in any store.")
    assert shell.nss.exists() is trusted


def test_under_sudo_it_refuses(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    for name in ("trust", "untrust"):
        assert "without sudo" in shell.fail(ExitCode.REFUSED, name, "--yes").hint


def test_a_dry_run_changes_nothing_at_all(shell: Shell) -> None:
    result = shell.succeed("trust", "--dry-run")
    assert "A CA would be made for dev.local, localhost, test" in result.stdout
    assert "devtls-ID.crt" in result.stdout
    assert not shell.state.exists()
    assert not shell.nss.exists()
    values = json.loads(shell.succeed("trust", "--dry-run", "--json", "--zone", "corp.dev").stdout)
    assert (values["dry_run"], values["root"], values["zones"]) == (True, None, ["corp.dev"])
    shell.succeed("trust", "--yes", "--store", "system")
    result = shell.succeed("trust", "--dry-run")
    assert "trusts the root already" in result.stdout
    assert "certutil -A" in result.stdout


def test_store_limits_what_is_done(shell: Shell) -> None:
    before = shell.bundle.read_bytes()
    result = shell.succeed("trust", "--yes", "--store", "nss")
    assert "System store" not in result.stdout
    assert shell.bundle.read_bytes() == before
    assert "no store 'java'" in str(shell.fail(ExitCode.USAGE, "trust", "--yes", "--store", "java"))


def test_an_unknown_store_is_refused_before_a_ca_is_made(shell: Shell) -> None:
    shell.fail(ExitCode.USAGE, "trust", "--yes", "--store", "java")
    assert not shell.state.exists()


def test_zones_are_named_when_the_ca_is_made(shell: Shell) -> None:
    result = shell.succeed("trust", "--yes", "--zone", "corp.dev", "--zone", "test")
    assert "it speaks for corp.dev, test, and for nothing else" in result.stderr
    assert "Using" in shell.succeed("trust", "--yes", "--zone", "shop.corp.dev").stderr
    error = shell.fail(ExitCode.REFUSED, "trust", "--yes", "--zone", "other.dev")
    assert "other.dev needs a new one" in str(error)
    assert error.hint.startswith("devtls ca renew --zone other.dev makes it")


def test_a_ca_that_a_serve_made_meanwhile_is_not_taken_for_the_wanted_one(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Keystore.load_or_create

    def overtaken(keystore: Keystore, zones: Iterable[Hostname], now: datetime, locks: Locks = NO_LOCKS) -> Authority:
        return create(keystore, DEFAULT_ZONES, now)

    monkeypatch.setattr(Keystore, "load_or_create", overtaken)
    assert "corp.dev needs a new one" in str(shell.fail(ExitCode.REFUSED, "trust", "--yes", "--zone", "corp.dev"))
    assert not shell.nss.exists()


def test_a_state_directory_that_takes_no_root_file_is_an_error_with_a_sentence(shell: Shell) -> None:
    (shell.state / ROOT_FILE).mkdir(mode=0o700, parents=True)
    shell.state.chmod(0o700)
    assert "cannot be written" in str(shell.fail(ExitCode.STATE, "trust", "--yes"))


def test_a_public_suffix_is_no_zone(shell: Shell) -> None:
    shell.fail(ExitCode.CONFIG, "trust", "--yes", "--zone", "co.uk")
    assert not shell.state.exists()


def test_one_failing_store_leaves_the_other_trusted(shell: Shell) -> None:
    shell.tool("usr/sbin/update-ca-certificates", "echo no space left >&2; exit 1")
    result = shell.succeed("trust", "--yes")
    assert "failed: no space left" in result.stdout
    assert "Run the commands above" in result.stdout


def test_if_no_store_trusts_it_the_exit_code_says_so(shell: Shell) -> None:
    shell.tool("usr/sbin/update-ca-certificates", "exit 1")
    shell.tool("usr/bin/certutil", 'case "$*" in *-A*) echo SEC_ERROR_BAD_PASSWORD >&2; exit 255;; *-N*) exit 0;; esac')
    error = shell.fail(ExitCode.NOT_TRUSTED, "trust", "--yes")
    assert "Neither" in str(error)
    assert error.hint


def test_without_certutil_the_package_and_the_manual_steps_are_named(shell: Shell) -> None:
    (shell.machine.root / "usr/bin/certutil").unlink()
    shell.nss.mkdir(parents=True)
    result = shell.succeed("trust", "--yes")
    assert "sudo apt install libnss3-tools, then devtls trust" in result.stdout
    assert "Manually: In the browser's settings" in result.stderr


def test_without_elevation_the_commands_are_printed_and_the_rest_goes_on(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    _elevate(shell, monkeypatch, None)
    result = shell.succeed("trust", "--yes")
    assert "# skipped: neither sudo" in result.stderr
    assert "sudo /usr/bin/install" in result.stderr
    assert "skipped: needs administrator rights" in result.stdout


def test_only_the_shown_commands_are_elevated(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = shell.machine.root / "calls"
    shell.tool("usr/bin/sudo", f'echo "$1" >>{calls}; exec "$@"')
    _elevate(shell, monkeypatch, find_elevation(1000, shell.machine.root))
    result = shell.succeed("trust", "--yes")
    assert "sudo may ask for your password" in result.stderr
    tools = [Path(line).name for line in calls.read_text().split()]
    assert tools == ["install", "update-ca-certificates"]


def test_a_client_that_accepts_foreign_names_is_a_loud_failure(shell: Shell) -> None:
    shell.tool("usr/bin/curl", HANDSHAKE)
    error = shell.fail(ExitCode.NOT_TRUSTED, "trust", "--yes")
    assert "curl accepted a certificate for a name outside the zones" in str(error)


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ('case "$*" in *invalid*) echo expired >&2; exit 60;; esac', "refused: expired"),
        ("echo pinned >&2; exit 60", "not tried"),
    ],
)
def test_every_verdict_on_the_foreign_name_is_shown(shell: Shell, script: str, shown: str) -> None:
    shell.tool("usr/bin/curl", script + HANDSHAKE)
    assert shown in shell.succeed("trust", "--yes").stdout


def test_a_variable_that_is_set_already_keeps_what_it_names(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    corporate = shell.machine.home / "corporate.pem"
    corporate.write_bytes(shell.bundle.read_bytes())
    shell.tool("usr/bin/curl", CURL.replace('[ -n "$CURL_CA_BUNDLE" ]', 'grep -q MII "$CURL_CA_BUNDLE"'))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(corporate))
    result = shell.succeed("trust", "--yes", "--store", "nss")
    extended = shell.state / "ca-bundle-CURL_CA_BUNDLE.pem"
    assert f"CURL_CA_BUNDLE={extended}" in result.stdout
    assert extended.read_bytes() == corporate.read_bytes() + (shell.state / ROOT_FILE).read_bytes()
    monkeypatch.setenv("CURL_CA_BUNDLE", str(extended))
    assert "trusted\n" in shell.succeed("trust", "--yes", "--store", "nss").stdout
    shell.succeed("untrust", "--yes")
    assert extended.read_bytes() == corporate.read_bytes()
    shell.succeed("trust", "--yes", "--store", "nss")
    assert extended.read_bytes() == corporate.read_bytes() + (shell.state / ROOT_FILE).read_bytes()
    monkeypatch.delenv("CURL_CA_BUNDLE")
    shell.succeed("untrust", "--yes", "--forget")
    assert not extended.exists()


def test_node_gets_the_bare_root_since_its_variable_adds(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
    shell.tool(
        "usr/bin/node", CURL.replace('case "$last"', 'case "$*"').replace("CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    )
    result = shell.succeed("trust", "--yes")
    assert f"trusted with NODE_EXTRA_CA_CERTS={shell.state / ROOT_FILE}" in result.stdout


def test_a_variable_that_a_client_needs_comes_as_a_line_for_the_profile(shell: Shell) -> None:
    result = shell.succeed("trust", "--yes")
    assert "For curl, add this to your shell's profile" in result.stderr
    assert f"  export CURL_CA_BUNDLE={shell.state / BUNDLE_FILE}\n" in result.stderr
    shell.tool("usr/bin/curl", CURL.replace('[ -n "$CURL_CA_BUNDLE" ]', "true"))
    assert "profile" not in shell.succeed("trust", "--yes").stderr


def test_a_terminals_table_leaves_the_value_of_a_variable_to_the_line_below(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_view, "is_wrapped", lambda: True)
    result = shell.succeed("trust", "--yes")
    assert "trusted with CURL_CA_BUNDLE=…" in result.stdout
    assert f"  export CURL_CA_BUNDLE={shell.state / BUNDLE_FILE}\n" in result.stderr


def test_the_root_of_an_earlier_ca_is_named_with_the_command(shell: Shell, tmp_path: Path) -> None:
    first = shell.succeed("trust", "--yes")
    assert "another CA" not in first.stderr
    earlier = first.stderr.partition("Made ")[2][: len("devtls root 12345678")]
    shell.state.rename(tmp_path / "lost")
    result = shell.succeed("trust", "--yes")
    assert f"{earlier}, of an earlier or another CA, is still in: System store, " in result.stderr
    assert "devtls untrust --all, then devtls trust" in result.stderr
    shell.succeed("untrust", "--all", "--yes")
    assert "another CA" not in shell.succeed("trust", "--yes").stderr


def test_without_any_client_there_is_no_proof_table(shell: Shell) -> None:
    (shell.machine.root / "usr/bin/curl").unlink()
    assert "CLIENT" not in shell.succeed("trust", "--yes").stdout


def test_sandboxed_browsers_are_named(shell: Shell) -> None:
    (shell.machine.home / ".var/app/com.google.Chrome").mkdir(parents=True)
    assert "Chrome from Flatpak" in shell.succeed("trust", "--yes").stderr


def test_untrust_reverts_exactly_the_changes_of_trust(shell: Shell) -> None:
    before = shell.bundle.read_bytes()
    shell.succeed("trust", "--yes")
    result = shell.succeed("untrust", "--yes")
    assert shell.bundle.read_bytes() == before
    assert [path.name for path in shell.nss.iterdir()] == ["cert9.db"]
    assert "removed" in result.stdout
    assert "The CA is kept" in result.stderr
    assert "Using devtls root" in shell.succeed("trust", "--yes").stderr


def test_untrust_works_after_the_ca_is_gone(shell: Shell) -> None:
    shell.succeed("trust", "--yes")
    for path in shell.state.glob("ca*"):
        if path.is_file():
            path.unlink()
    shell.succeed("untrust", "--yes")
    assert [path.name for path in shell.nss.iterdir()] == ["cert9.db"]


def test_untrust_ends_the_trust_of_clients_that_a_variable_gave_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that a profile still names stays, without our root: curl must not fail on every other site."""
    bundle, root_file = shell.state / BUNDLE_FILE, shell.state / ROOT_FILE
    shell.succeed("trust", "--yes")
    root = root_file.read_bytes()
    others = bundle.read_bytes().replace(root, b"")
    shell.succeed("untrust", "--yes", "--store", "nss")
    assert root in bundle.read_bytes()
    shell.succeed("trust", "--yes")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(bundle))
    result = shell.succeed("untrust", "--yes")
    assert "Remove CURL_CA_BUNDLE from your shell's profile" in result.stderr
    assert bundle.read_bytes() == others
    assert not root_file.exists()
    monkeypatch.delenv("CURL_CA_BUNDLE")
    assert "profile" not in shell.succeed("untrust", "--yes").stderr
    assert not bundle.exists()


def test_after_untrust_env_does_not_bring_the_trust_back(shell: Shell) -> None:
    """A shell's profile may go on asking: the next shell must trust no more than the stores do."""
    shell.succeed("trust", "--yes")
    shell.succeed("untrust", "--yes", "--store", "nss")
    shell.succeed("env")
    shell.succeed("untrust", "--yes")
    for arguments in (("env",), ("env", "--json"), ("env", "--", "true")):
        assert shell.fail(ExitCode.REFUSED, *arguments).hint == "devtls trust, then devtls env again"
    assert not any((shell.state / name).exists() for name in (BUNDLE_FILE, ROOT_FILE))
    shell.succeed("env", "--unset")
    shell.succeed("trust", "--yes")
    assert str(shell.state / ROOT_FILE) in shell.succeed("env").stdout


def test_untrust_ends_the_trust_also_where_env_was_all_there_was(shell: Shell) -> None:
    Keystore(shell.state).create(DEFAULT_ZONES, datetime.now(UTC))
    shell.succeed("env")
    shell.succeed("untrust", "--yes")
    shell.fail(ExitCode.REFUSED, "env")
    shell.succeed("untrust", "--yes", "--forget")
    assert not shell.state.exists()


def test_untrust_finds_roots_of_ours_without_any_record(shell: Shell, tmp_path: Path) -> None:
    shell.succeed("trust", "--yes")
    shell.state.rename(tmp_path / "lost")
    before = shell.bundle.read_bytes()
    values = json.loads(shell.succeed("untrust", "--yes", "--json").stdout)
    assert [store["changed"] for store in values["stores"]] == [True, True]
    assert shell.bundle.read_bytes() != before


def test_untrust_leaves_another_ca_of_devtls_alone_unless_all_is_given(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.succeed("trust", "--yes")
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(tmp_path / "second"))
    shell.succeed("trust", "--yes")
    result = shell.succeed("untrust", "--yes")
    assert "also holds devtls root" in result.stderr
    assert len(list(shell.nss.glob("*.pem"))) == 1
    shell.succeed("untrust", "--yes", "--all")
    assert list(shell.nss.glob("*.pem")) == []


def test_forget_shows_what_dies_and_deletes_it(shell: Shell) -> None:
    shell.succeed("trust", "--yes")
    shown = shell.succeed("untrust", "--forget", "--dry-run").stdout
    assert "would be deleted for good" in shown
    assert (shell.state / ROOT_FILE).exists()
    result = shell.succeed("untrust", "--forget", "--yes")
    assert "will be deleted for good" in result.stderr
    assert not shell.state.exists()
    assert "Still in" not in result.stderr
    again = shell.succeed("untrust", "--forget", "--yes").stderr
    assert "nothing to do there" in again
    assert "no CA to delete" in again
    assert "are deleted" not in again


def test_forget_says_what_must_stay(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.succeed("trust", "--yes")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(shell.state / BUNDLE_FILE))
    (shell.state / "allowed.json").write_text("{}")
    result = shell.succeed("untrust", "--forget", "--yes")
    assert (
        f"Still in {shell.state}: allowed.json (what devtls allow remembers), ca-bundle.pem (a variable"
        in result.stderr
    )
    assert sorted(path.name for path in shell.state.iterdir()) == ["allowed.json", BUNDLE_FILE]


def test_a_store_that_kept_the_root_is_remembered_after_forget(shell: Shell) -> None:
    shell.succeed("trust", "--yes")
    shell.tool("usr/sbin/update-ca-certificates", "echo full disk >&2; exit 1")
    shell.fail(ExitCode.FAILED, "untrust", "--forget", "--yes")
    assert [path.name for path in shell.state.iterdir()] == ["changes.json"]


def test_a_damaged_ca_is_forgotten_too(shell: Shell) -> None:
    shell.succeed("trust", "--yes")
    (shell.state / "ca.current").write_text("{")
    result = shell.succeed("untrust", "--forget", "--yes")
    assert "Going by the record" in result.stderr
    assert "cannot be read any more" in result.stderr
    assert list(shell.nss.glob("*.pem")) == []
    assert not (shell.state / "ca.current").exists()


def test_a_profile_that_was_deleted_holds_nothing_any_more(shell: Shell) -> None:
    profile = shell.machine.home / ".mozilla/firefox/old"
    profile.mkdir(parents=True)
    (profile / "cert9.db").write_bytes(b"")
    shell.succeed("trust", "--yes")
    shutil.rmtree(profile)
    result = shell.succeed("untrust", "--yes", "--forget")
    assert "may still hold the root" not in result.stderr
    assert not shell.state.exists()


def test_a_directories_name_cannot_speak_to_the_terminal(shell: Shell) -> None:
    profile = shell.machine.home / ".mozilla/firefox/\x1b]0;owned\x07"
    profile.mkdir(parents=True)
    (profile / "cert9.db").write_bytes(b"")
    first = CliRunner().invoke(cli, ("trust", "--yes"), color=True)
    (shell.state / "ca.current").unlink()
    second = CliRunner().invoke(cli, ("trust", "--yes"), color=True)
    third = CliRunner().invoke(cli, ("untrust", "--yes"), color=True)
    assert all("owned" in result.output and "\x1b]" not in result.output for result in (first, second, third))


def test_untrust_does_not_speak_of_databases_that_are_not_there(shell: Shell) -> None:
    result = shell.succeed("untrust", "--yes")
    assert "will be made" not in result.output
    assert result.stdout.count("not there") == 2
    assert not shell.nss.exists()


def test_an_untrust_dry_run_changes_nothing(shell: Shell) -> None:
    shell.succeed("trust", "--yes")
    before = shell.bundle.read_bytes()
    values = json.loads(shell.succeed("untrust", "--dry-run", "--json").stdout)
    assert all(store["commands"] for store in values["stores"])
    assert "--fresh" in shell.succeed("untrust", "--dry-run").stdout
    assert shell.bundle.read_bytes() == before


def test_untrust_asks_and_needs_a_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.succeed("trust", "--yes")
    shell.fail(ExitCode.REFUSED, "untrust")
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    shell.fail(ExitCode.REFUSED, "untrust", answer="n\n")
    assert len(list(shell.nss.glob("*.pem"))) == 1
    shell.succeed("untrust", answer="y\n")
    assert list(shell.nss.glob("*.pem")) == []


def test_an_untrust_that_leaves_a_root_behind_fails(shell: Shell) -> None:
    shell.succeed("trust", "--yes")
    shell.tool("usr/sbin/update-ca-certificates", "echo full disk >&2; exit 1")
    error = shell.fail(ExitCode.FAILED, "untrust", "--yes")
    assert str(error) == "System store may still hold the root."
    assert list(shell.nss.glob("*.pem")) == []


def test_on_a_mac_the_keychain_of_the_user_or_with_system_of_everybody(shell: Shell) -> None:
    shell.machine = dataclasses.replace(shell.machine, platform="darwin")
    shown = shell.succeed("trust", "--dry-run", "--json").stdout
    assert [store["name"] for store in json.loads(shown)["stores"]] == ["keychain:login"]
    shown = shell.succeed("trust", "--dry-run", "--json", "--system").stdout
    assert [store["name"] for store in json.loads(shown)["stores"]] == ["keychain:system"]
    ChangeRecord(shell.state).add(AppliedChange(Part.TRUST, "keychain:system", {"00": "00"}))
    shown = shell.succeed("trust", "--dry-run", "--json").stdout
    assert [store["name"] for store in json.loads(shown)["stores"]] == ["keychain:system"]
    shown = shell.succeed("untrust", "--dry-run", "--json").stdout
    assert [store["name"] for store in json.loads(shown)["stores"]] == ["keychain:login", "keychain:system"]


def test_help_names_every_option() -> None:
    text = CliRunner().invoke(cli, ["trust", "--help"]).output
    for option in ("--yes", "--dry-run", "--json", "--store", "--system", "--zone"):
        assert option in text


def test_where_there_is_nothing_to_do_no_terminal_is_needed(shell: Shell) -> None:
    assert "No store holds the root" in shell.succeed("untrust").stderr
    shell.succeed("trust", "--yes")
    assert "Nothing to do in any store." in shell.succeed("trust").stderr
    assert shell.fail(ExitCode.REFUSED, "untrust").hint.startswith("devtls untrust --yes")
