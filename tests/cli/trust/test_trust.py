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
from tests.cli.desk import Desk
from tests.system.machine.small_debian import CURL, HANDSHAKE


def _elevate(desk: Desk, monkeypatch: pytest.MonkeyPatch, elevation: Elevation | None) -> None:
    machine = desk.machine
    changed = Machine(machine.root, machine.home, machine.data_home, machine.config_home, (), elevation)
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: changed))


def test_trust_makes_the_ca_fills_the_stores_and_proves_it(desk: Desk) -> None:
    result = desk.succeed("trust", "--yes")
    assert "Made devtls root" in result.stderr
    assert "update-ca-certificates" in result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["trusted", "trusted"]
    assert any(line.startswith("curl") and f"CURL_CA_BUNDLE={desk.state / BUNDLE_FILE}" in line for line in lines)
    assert (desk.state / ROOT_FILE).read_bytes() in desk.bundle.read_bytes()
    assert "Restart browsers" in result.stderr


def test_a_second_run_has_nothing_to_do_and_still_proves(desk: Desk) -> None:
    desk.succeed("trust", "--yes")
    result = desk.succeed("trust", "--yes")
    assert "Nothing to do" in result.stderr
    assert "Using devtls root" in result.stderr
    assert "curl" in result.stdout


def test_json_is_one_document_on_stdout(desk: Desk) -> None:
    values = json.loads(desk.succeed("trust", "--yes", "--json").stdout)
    assert values["trusted"] is True
    assert [store["state"] for store in values["stores"]] == ["trusted", "trusted"]
    assert [client["foreign"] for client in values["clients"]] == ["refused for its name"]
    assert values["root"]["zones"] == ["dev.local", "localhost", "test"]


def test_without_a_terminal_nothing_happens_unless_yes_is_given(desk: Desk) -> None:
    error = desk.fail(ExitCode.REFUSED, "trust")
    assert "no terminal" in str(error)
    assert "--yes" in error.hint
    assert not desk.state.exists()


@pytest.mark.parametrize(("answer", "trusted"), [("y\n", True), ("n\n", False)])
def test_a_terminal_is_asked_once(desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: str, trusted: bool) -> None:
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    if trusted:
        assert desk.succeed("trust", answer=answer).stderr.count("Go ahead?") == 1
    else:
        assert str(desk.fail(ExitCode.REFUSED, "trust", answer=answer)).endswith("nothing was changed in any store.")
    assert desk.nss.exists() is trusted


def test_under_sudo_it_refuses(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    for name in ("trust", "untrust"):
        assert "without sudo" in desk.fail(ExitCode.REFUSED, name, "--yes").hint


def test_a_dry_run_changes_nothing_at_all(desk: Desk) -> None:
    result = desk.succeed("trust", "--dry-run")
    assert "A CA would be made for dev.local, localhost, test" in result.stdout
    assert "devtls-ID.crt" in result.stdout
    assert not desk.state.exists()
    assert not desk.nss.exists()
    values = json.loads(desk.succeed("trust", "--dry-run", "--json", "--zone", "corp.dev").stdout)
    assert (values["dry_run"], values["root"], values["zones"]) == (True, None, ["corp.dev"])
    desk.succeed("trust", "--yes", "--store", "system")
    result = desk.succeed("trust", "--dry-run")
    assert "trusts the root already" in result.stdout
    assert "certutil -A" in result.stdout


def test_store_limits_what_is_done(desk: Desk) -> None:
    before = desk.bundle.read_bytes()
    result = desk.succeed("trust", "--yes", "--store", "nss")
    assert "System store" not in result.stdout
    assert desk.bundle.read_bytes() == before
    assert "no store 'java'" in str(desk.fail(ExitCode.USAGE, "trust", "--yes", "--store", "java"))


def test_an_unknown_store_is_refused_before_a_ca_is_made(desk: Desk) -> None:
    desk.fail(ExitCode.USAGE, "trust", "--yes", "--store", "java")
    assert not desk.state.exists()


def test_zones_are_named_when_the_ca_is_made(desk: Desk) -> None:
    result = desk.succeed("trust", "--yes", "--zone", "corp.dev", "--zone", "test")
    assert "it speaks for corp.dev, test, and for nothing else" in result.stderr
    assert "Using" in desk.succeed("trust", "--yes", "--zone", "shop.corp.dev").stderr
    error = desk.fail(ExitCode.REFUSED, "trust", "--yes", "--zone", "other.dev")
    assert "other.dev needs a new one" in str(error)
    assert error.hint.startswith("devtls ca renew --zone other.dev makes it")


def test_a_ca_that_a_serve_made_meanwhile_is_not_taken_for_the_wanted_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Keystore.load_or_create

    def overtaken(keystore: Keystore, zones: Iterable[Hostname], now: datetime, locks: Locks = NO_LOCKS) -> Authority:
        return create(keystore, DEFAULT_ZONES, now)

    monkeypatch.setattr(Keystore, "load_or_create", overtaken)
    assert "corp.dev needs a new one" in str(desk.fail(ExitCode.REFUSED, "trust", "--yes", "--zone", "corp.dev"))
    assert not desk.nss.exists()


def test_a_state_directory_that_takes_no_root_file_is_an_error_with_a_sentence(desk: Desk) -> None:
    (desk.state / ROOT_FILE).mkdir(mode=0o700, parents=True)
    desk.state.chmod(0o700)
    assert "cannot be written" in str(desk.fail(ExitCode.STATE, "trust", "--yes"))


def test_a_public_suffix_is_no_zone(desk: Desk) -> None:
    desk.fail(ExitCode.CONFIG, "trust", "--yes", "--zone", "co.uk")
    assert not desk.state.exists()


def test_one_failing_store_leaves_the_other_trusted(desk: Desk) -> None:
    desk.tool("usr/sbin/update-ca-certificates", "echo no space left >&2; exit 1")
    result = desk.succeed("trust", "--yes")
    assert "failed: no space left" in result.stdout
    assert "Run the commands above" in result.stdout


def test_if_no_store_trusts_it_the_exit_code_says_so(desk: Desk) -> None:
    desk.tool("usr/sbin/update-ca-certificates", "exit 1")
    desk.tool("usr/bin/certutil", 'case "$*" in *-A*) echo SEC_ERROR_BAD_PASSWORD >&2; exit 255;; *-N*) exit 0;; esac')
    error = desk.fail(ExitCode.NOT_TRUSTED, "trust", "--yes")
    assert "Neither" in str(error)
    assert error.hint


def test_without_certutil_the_package_and_the_manual_steps_are_named(desk: Desk) -> None:
    (desk.machine.root / "usr/bin/certutil").unlink()
    desk.nss.mkdir(parents=True)
    result = desk.succeed("trust", "--yes")
    assert "sudo apt install libnss3-tools, then devtls trust" in result.stdout
    assert "Manually: In the browser's settings" in result.stderr


def test_without_elevation_the_commands_are_printed_and_the_rest_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    _elevate(desk, monkeypatch, None)
    result = desk.succeed("trust", "--yes")
    assert "# skipped: neither sudo" in result.stderr
    assert "sudo /usr/bin/install" in result.stderr
    assert "skipped: needs administrator rights" in result.stdout


def test_only_the_shown_commands_are_elevated(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = desk.machine.root / "calls"
    desk.tool("usr/bin/sudo", f'echo "$1" >>{calls}; exec "$@"')
    _elevate(desk, monkeypatch, find_elevation(1000, desk.machine.root))
    result = desk.succeed("trust", "--yes")
    assert "sudo may ask for your password" in result.stderr
    tools = [Path(line).name for line in calls.read_text().split()]
    assert tools == ["install", "update-ca-certificates"]


def test_a_client_that_accepts_foreign_names_is_a_loud_failure(desk: Desk) -> None:
    desk.tool("usr/bin/curl", HANDSHAKE)
    error = desk.fail(ExitCode.NOT_TRUSTED, "trust", "--yes")
    assert "curl accepted a certificate for a name outside the zones" in str(error)


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ('case "$*" in *invalid*) echo expired >&2; exit 60;; esac', "refused: expired"),
        ("echo pinned >&2; exit 60", "not tried"),
    ],
)
def test_every_verdict_on_the_foreign_name_is_shown(desk: Desk, script: str, shown: str) -> None:
    desk.tool("usr/bin/curl", script + HANDSHAKE)
    assert shown in desk.succeed("trust", "--yes").stdout


def test_a_variable_that_is_set_already_keeps_what_it_names(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    corporate = desk.machine.home / "corporate.pem"
    corporate.write_bytes(desk.bundle.read_bytes())
    desk.tool("usr/bin/curl", CURL.replace('[ -n "$CURL_CA_BUNDLE" ]', 'grep -q MII "$CURL_CA_BUNDLE"'))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(corporate))
    result = desk.succeed("trust", "--yes", "--store", "nss")
    extended = desk.state / "ca-bundle-CURL_CA_BUNDLE.pem"
    assert f"CURL_CA_BUNDLE={extended}" in result.stdout
    assert extended.read_bytes() == corporate.read_bytes() + (desk.state / ROOT_FILE).read_bytes()
    monkeypatch.setenv("CURL_CA_BUNDLE", str(extended))
    assert "trusted\n" in desk.succeed("trust", "--yes", "--store", "nss").stdout
    desk.succeed("untrust", "--yes")
    assert extended.read_bytes() == corporate.read_bytes()
    desk.succeed("trust", "--yes", "--store", "nss")
    assert extended.read_bytes() == corporate.read_bytes() + (desk.state / ROOT_FILE).read_bytes()
    monkeypatch.delenv("CURL_CA_BUNDLE")
    desk.succeed("untrust", "--yes", "--forget")
    assert not extended.exists()


def test_node_gets_the_bare_root_since_its_variable_adds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
    desk.tool(
        "usr/bin/node", CURL.replace('case "$last"', 'case "$*"').replace("CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    )
    result = desk.succeed("trust", "--yes")
    assert f"trusted with NODE_EXTRA_CA_CERTS={desk.state / ROOT_FILE}" in result.stdout


def test_a_variable_that_a_client_needs_comes_as_a_line_for_the_profile(desk: Desk) -> None:
    result = desk.succeed("trust", "--yes")
    assert "For curl, add this to your shell's profile" in result.stderr
    assert f"  export CURL_CA_BUNDLE={desk.state / BUNDLE_FILE}\n" in result.stderr
    desk.tool("usr/bin/curl", CURL.replace('[ -n "$CURL_CA_BUNDLE" ]', "true"))
    assert "profile" not in desk.succeed("trust", "--yes").stderr


def test_a_terminals_table_leaves_the_value_of_a_variable_to_the_line_below(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_view, "is_wrapped", lambda: True)
    result = desk.succeed("trust", "--yes")
    assert "trusted with CURL_CA_BUNDLE=…" in result.stdout
    assert f"  export CURL_CA_BUNDLE={desk.state / BUNDLE_FILE}\n" in result.stderr


def test_the_root_of_an_earlier_ca_is_named_with_the_command(desk: Desk, tmp_path: Path) -> None:
    first = desk.succeed("trust", "--yes")
    assert "another CA" not in first.stderr
    earlier = first.stderr.partition("Made ")[2][: len("devtls root 12345678")]
    desk.state.rename(tmp_path / "lost")
    result = desk.succeed("trust", "--yes")
    assert f"{earlier}, of an earlier or another CA, is still in: System store, " in result.stderr
    assert "devtls untrust --all, then devtls trust" in result.stderr
    desk.succeed("untrust", "--all", "--yes")
    assert "another CA" not in desk.succeed("trust", "--yes").stderr


def test_without_any_client_there_is_no_proof_table(desk: Desk) -> None:
    (desk.machine.root / "usr/bin/curl").unlink()
    assert "CLIENT" not in desk.succeed("trust", "--yes").stdout


def test_sandboxed_browsers_are_named(desk: Desk) -> None:
    (desk.machine.home / ".var/app/com.google.Chrome").mkdir(parents=True)
    assert "Chrome from Flatpak" in desk.succeed("trust", "--yes").stderr


def test_untrust_reverts_exactly_the_changes_of_trust(desk: Desk) -> None:
    before = desk.bundle.read_bytes()
    desk.succeed("trust", "--yes")
    result = desk.succeed("untrust", "--yes")
    assert desk.bundle.read_bytes() == before
    assert [path.name for path in desk.nss.iterdir()] == ["cert9.db"]
    assert "removed" in result.stdout
    assert "The CA is kept" in result.stderr
    assert "Using devtls root" in desk.succeed("trust", "--yes").stderr


def test_untrust_works_after_the_ca_is_gone(desk: Desk) -> None:
    desk.succeed("trust", "--yes")
    for path in desk.state.glob("ca*"):
        if path.is_file():
            path.unlink()
    desk.succeed("untrust", "--yes")
    assert [path.name for path in desk.nss.iterdir()] == ["cert9.db"]


def test_untrust_ends_the_trust_of_clients_that_a_variable_gave_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that a profile still names stays, without our root: curl must not fail on every other site."""
    bundle, root_file = desk.state / BUNDLE_FILE, desk.state / ROOT_FILE
    desk.succeed("trust", "--yes")
    root = root_file.read_bytes()
    others = bundle.read_bytes().replace(root, b"")
    desk.succeed("untrust", "--yes", "--store", "nss")
    assert root in bundle.read_bytes()
    desk.succeed("trust", "--yes")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(bundle))
    result = desk.succeed("untrust", "--yes")
    assert "Remove CURL_CA_BUNDLE from your shell's profile" in result.stderr
    assert bundle.read_bytes() == others
    assert not root_file.exists()
    monkeypatch.delenv("CURL_CA_BUNDLE")
    assert "profile" not in desk.succeed("untrust", "--yes").stderr
    assert not bundle.exists()


def test_after_untrust_env_does_not_bring_the_trust_back(desk: Desk) -> None:
    """A shell's profile may go on asking: the next shell must trust no more than the stores do."""
    desk.succeed("trust", "--yes")
    desk.succeed("untrust", "--yes", "--store", "nss")
    desk.succeed("env")
    desk.succeed("untrust", "--yes")
    for arguments in (("env",), ("env", "--json"), ("env", "--", "true")):
        assert desk.fail(ExitCode.REFUSED, *arguments).hint == "devtls trust, then devtls env again"
    assert not any((desk.state / name).exists() for name in (BUNDLE_FILE, ROOT_FILE))
    desk.succeed("env", "--unset")
    desk.succeed("trust", "--yes")
    assert str(desk.state / ROOT_FILE) in desk.succeed("env").stdout


def test_untrust_ends_the_trust_also_where_env_was_all_there_was(desk: Desk) -> None:
    Keystore(desk.state).create(DEFAULT_ZONES, datetime.now(UTC))
    desk.succeed("env")
    desk.succeed("untrust", "--yes")
    desk.fail(ExitCode.REFUSED, "env")
    desk.succeed("untrust", "--yes", "--forget")
    assert not desk.state.exists()


def test_untrust_finds_roots_of_ours_without_any_record(desk: Desk, tmp_path: Path) -> None:
    desk.succeed("trust", "--yes")
    desk.state.rename(tmp_path / "lost")
    before = desk.bundle.read_bytes()
    values = json.loads(desk.succeed("untrust", "--yes", "--json").stdout)
    assert [store["changed"] for store in values["stores"]] == [True, True]
    assert desk.bundle.read_bytes() != before


def test_untrust_leaves_another_ca_of_devtls_alone_unless_all_is_given(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.succeed("trust", "--yes")
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(tmp_path / "second"))
    desk.succeed("trust", "--yes")
    result = desk.succeed("untrust", "--yes")
    assert "also holds devtls root" in result.stderr
    assert len(list(desk.nss.glob("*.pem"))) == 1
    desk.succeed("untrust", "--yes", "--all")
    assert list(desk.nss.glob("*.pem")) == []


def test_forget_shows_what_dies_and_deletes_it(desk: Desk) -> None:
    desk.succeed("trust", "--yes")
    shown = desk.succeed("untrust", "--forget", "--dry-run").stdout
    assert "would be deleted for good" in shown
    assert (desk.state / ROOT_FILE).exists()
    result = desk.succeed("untrust", "--forget", "--yes")
    assert "will be deleted for good" in result.stderr
    assert not desk.state.exists()
    assert "Still in" not in result.stderr
    again = desk.succeed("untrust", "--forget", "--yes").stderr
    assert "nothing to do there" in again
    assert "no CA to delete" in again
    assert "are deleted" not in again


def test_forget_says_what_must_stay(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.succeed("trust", "--yes")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(desk.state / BUNDLE_FILE))
    (desk.state / "allowed.json").write_text("{}")
    result = desk.succeed("untrust", "--forget", "--yes")
    assert (
        f"Still in {desk.state}: allowed.json (what devtls allow remembers), ca-bundle.pem (a variable" in result.stderr
    )
    assert sorted(path.name for path in desk.state.iterdir()) == ["allowed.json", BUNDLE_FILE]


def test_a_store_that_kept_the_root_is_remembered_after_forget(desk: Desk) -> None:
    desk.succeed("trust", "--yes")
    desk.tool("usr/sbin/update-ca-certificates", "echo full disk >&2; exit 1")
    desk.fail(ExitCode.FAILED, "untrust", "--forget", "--yes")
    assert [path.name for path in desk.state.iterdir()] == ["changes.json"]


def test_a_damaged_ca_is_forgotten_too(desk: Desk) -> None:
    desk.succeed("trust", "--yes")
    (desk.state / "ca.current").write_text("{")
    result = desk.succeed("untrust", "--forget", "--yes")
    assert "Going by the record" in result.stderr
    assert "cannot be read any more" in result.stderr
    assert list(desk.nss.glob("*.pem")) == []
    assert not (desk.state / "ca.current").exists()


def test_a_profile_that_was_deleted_holds_nothing_any_more(desk: Desk) -> None:
    profile = desk.machine.home / ".mozilla/firefox/old"
    profile.mkdir(parents=True)
    (profile / "cert9.db").write_bytes(b"")
    desk.succeed("trust", "--yes")
    shutil.rmtree(profile)
    result = desk.succeed("untrust", "--yes", "--forget")
    assert "may still hold the root" not in result.stderr
    assert not desk.state.exists()


def test_a_directories_name_cannot_speak_to_the_terminal(desk: Desk) -> None:
    profile = desk.machine.home / ".mozilla/firefox/\x1b]0;owned\x07"
    profile.mkdir(parents=True)
    (profile / "cert9.db").write_bytes(b"")
    first = CliRunner().invoke(cli, ("trust", "--yes"), color=True)
    (desk.state / "ca.current").unlink()
    second = CliRunner().invoke(cli, ("trust", "--yes"), color=True)
    third = CliRunner().invoke(cli, ("untrust", "--yes"), color=True)
    assert all("owned" in result.output and "\x1b]" not in result.output for result in (first, second, third))


def test_untrust_does_not_speak_of_databases_that_are_not_there(desk: Desk) -> None:
    result = desk.succeed("untrust", "--yes")
    assert "will be made" not in result.output
    assert result.stdout.count("not there") == 2
    assert not desk.nss.exists()


def test_an_untrust_dry_run_changes_nothing(desk: Desk) -> None:
    desk.succeed("trust", "--yes")
    before = desk.bundle.read_bytes()
    values = json.loads(desk.succeed("untrust", "--dry-run", "--json").stdout)
    assert all(store["commands"] for store in values["stores"])
    assert "--fresh" in desk.succeed("untrust", "--dry-run").stdout
    assert desk.bundle.read_bytes() == before


def test_untrust_asks_and_needs_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.succeed("trust", "--yes")
    desk.fail(ExitCode.REFUSED, "untrust")
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    desk.fail(ExitCode.REFUSED, "untrust", answer="n\n")
    assert len(list(desk.nss.glob("*.pem"))) == 1
    desk.succeed("untrust", answer="y\n")
    assert list(desk.nss.glob("*.pem")) == []


def test_an_untrust_that_leaves_a_root_behind_fails(desk: Desk) -> None:
    desk.succeed("trust", "--yes")
    desk.tool("usr/sbin/update-ca-certificates", "echo full disk >&2; exit 1")
    error = desk.fail(ExitCode.FAILED, "untrust", "--yes")
    assert str(error) == "System store may still hold the root."
    assert list(desk.nss.glob("*.pem")) == []


def test_on_a_mac_the_keychain_of_the_user_or_with_system_of_everybody(desk: Desk) -> None:
    desk.machine = dataclasses.replace(desk.machine, platform="darwin")
    shown = desk.succeed("trust", "--dry-run", "--json").stdout
    assert [store["name"] for store in json.loads(shown)["stores"]] == ["keychain:login"]
    shown = desk.succeed("trust", "--dry-run", "--json", "--system").stdout
    assert [store["name"] for store in json.loads(shown)["stores"]] == ["keychain:system"]
    ChangeRecord(desk.state).add(AppliedChange(Part.TRUST, "keychain:system", {"00": "00"}))
    shown = desk.succeed("trust", "--dry-run", "--json").stdout
    assert [store["name"] for store in json.loads(shown)["stores"]] == ["keychain:system"]
    shown = desk.succeed("untrust", "--dry-run", "--json").stdout
    assert [store["name"] for store in json.loads(shown)["stores"]] == ["keychain:login", "keychain:system"]


def test_help_names_every_option() -> None:
    text = CliRunner().invoke(cli, ["trust", "--help"]).output
    for option in ("--yes", "--dry-run", "--json", "--store", "--system", "--zone"):
        assert option in text
