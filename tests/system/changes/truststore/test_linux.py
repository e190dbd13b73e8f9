from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devtls.system.changes.change import Status
from devtls.system.changes.truststore.families import FAMILIES, Family
from devtls.system.changes.truststore.linux import SystemStore
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT, Elevation, render_plan
from tests.system.as_root import AS_ROOT

GOLDEN = Path(__file__).parent / "golden" / "linux.txt"
SUDO = Elevation("sudo", ("/usr/bin/sudo",))
RUNNER = AS_ROOT
DEBIAN_BUNDLE = "etc/ssl/certs/ca-certificates.crt"


def become(machine: Machine, family: Family, script: str = "exit 0") -> Path:
    """Give the redirected system a family's directory, tool and name; return the anchor directory."""
    directory = machine.root / family.anchor_directory
    directory.mkdir(parents=True)
    tool = machine.root / "usr" / "sbin" / family.refreshes[0].tool
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    (machine.root / "etc" / "os-release").write_text(f"ID={family.os_ids[0]}\n")
    return directory


def become_debian(machine: Machine, script: str | None = None) -> Path:
    family = next(family for family in FAMILIES if family.name == "Debian")
    bundle = machine.root / DEBIAN_BUNDLE
    bundle.parent.mkdir(parents=True)
    directory = machine.root / family.anchor_directory
    rebuild = f"cat /dev/null {directory}/*.crt >{bundle} 2>/dev/null; echo $* >>{machine.root}/calls"
    become(machine, family, rebuild if script is None else script)
    return directory


def _golden(machine: Machine, root: RootCertificate, text: str) -> str:
    return text.replace(str(machine.root), "").replace(str(root.path), "ROOT.pem").replace(root.id, "1a2b3c4d")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_family_gets_the_commands_that_its_manual_names(
    family: Family, machine: Machine, root: RootCertificate
) -> None:
    directory = become(machine, family)
    store = SystemStore(machine)
    lines = [f"[{family.name}]", *render_plan(store.apply_plan(store.probe(), root), SUDO)]
    (directory / f"devtls-{root.id}{family.suffix}").write_bytes(root.pem)
    lines += render_plan(store.revert_plan(store.probe(), {root.fingerprint}), SUDO)
    section = _golden(machine, root, "\n".join(lines)) + "\n"
    assert section in GOLDEN.read_text()


def test_arch_without_update_ca_trust_uses_p11_kits_own_tool(machine: Machine, root: RootCertificate) -> None:
    family = next(family for family in FAMILIES if family.name == "Arch")
    become(machine, family)
    (machine.root / "usr/sbin/update-ca-trust").rename(machine.root / "usr/bin/trust")
    commands = render_plan(SystemStore(machine).apply_plan(SystemStore(machine).probe(), root), SUDO)
    assert commands[-1].endswith("/usr/bin/trust extract-compat")


def test_installing_and_removing_leaves_the_bundle_as_it_was(machine: Machine, root: RootCertificate) -> None:
    directory = become_debian(machine)
    (directory / "corp.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    bundle = machine.root / DEBIAN_BUNDLE
    bundle.write_bytes((directory / "corp.crt").read_bytes())
    before = bundle.read_bytes()
    store = SystemStore(machine)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.APPLIED
    assert [found.id for found in facts.roots] == [root.id]
    assert not store.apply_plan(facts, root)
    assert (directory / f"devtls-{root.id}.crt").stat().st_mode & 0o777 == 0o644
    assert execute(store.revert_plan(facts, {root.fingerprint}), RUNNER).done
    assert bundle.read_bytes() == before
    assert not store.revert_plan(store.probe(), {root.fingerprint})
    assert (machine.root / "calls").read_text() == "\n--fresh\n"


def test_an_anchor_under_any_name_is_found_by_its_fingerprint(machine: Machine, root: RootCertificate) -> None:
    directory = become_debian(machine)
    (directory / "renamed by hand.crt").write_bytes(root.der)
    (directory / "two.crt").write_bytes(root.pem * 2)
    (directory / "subfolder").mkdir()
    store = SystemStore(machine)
    commands = render_plan(store.revert_plan(store.probe(), {root.fingerprint}), ALREADY_ROOT)
    assert any("renamed by hand.crt" in line for line in commands)
    assert not any("two.crt" in line for line in commands)


def test_an_anchor_that_the_bundle_lacks_is_reported_and_fixed(machine: Machine, root: RootCertificate) -> None:
    directory = become_debian(machine)
    (directory / "old.crt").write_bytes(root.pem)
    store = SystemStore(machine)
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, "bundle" in state.detail) == (Status.ABSENT, True)
    assert store.apply_plan(store.probe(), root)


def test_what_debians_java_hook_keeps_is_deleted_with_keytool(machine: Machine, root: RootCertificate) -> None:
    directory = become_debian(machine)
    (directory / f"devtls-{root.id}.crt").write_bytes(root.pem)
    java = machine.root / "etc/ssl/certs/java/cacerts"
    java.parent.mkdir(parents=True)
    java.write_bytes(b"\xfe\xed\xfe\xed" + root.der)
    store = SystemStore(machine)
    assert len(store.revert_plan(store.probe(), {root.fingerprint}).steps) == 2
    keytool = machine.root / "usr/bin/keytool"
    keytool.write_text("#!/bin/sh\n")
    keytool.chmod(0o755)
    last = render_plan(store.revert_plan(store.probe(), {root.fingerprint}), SUDO)[-1]
    assert f"-alias debian:devtls-{root.id}.pem" in last
    java.write_bytes(b"\xfe\xed\xfe\xed")
    assert len(store.revert_plan(store.probe(), {root.fingerprint}).steps) == 2


def test_nixos_gets_instructions_and_no_plan(machine: Machine, root: RootCertificate) -> None:
    become_debian(machine)
    (machine.root / "etc/os-release").write_text("ID=nixos\n")
    store = SystemStore(machine)
    facts = store.probe()
    state = store.trust_state(facts, root.fingerprint)
    assert state.status is Status.MANUAL
    assert "security.pki.certificateFiles" in state.remedy
    assert f"cp {root.path} /etc/nixos/devtls-root.pem" in store.explain(facts, root)
    assert not store.apply_plan(facts, root)
    assert not store.revert_plan(facts, {root.fingerprint})


def test_an_unknown_system_is_left_alone(machine: Machine, root: RootCertificate) -> None:
    store = SystemStore(machine)
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.MANUAL
    assert not store.apply_plan(facts, root)
    assert store.label == "System store"


def test_a_missing_refresh_tool_names_the_package(machine: Machine, root: RootCertificate) -> None:
    become_debian(machine)
    (machine.root / "usr/sbin/update-ca-certificates").unlink()
    store = SystemStore(machine)
    state = store.trust_state(store.probe(), root.fingerprint)
    assert state.status is Status.NO_TOOL
    assert state.remedy == "sudo apt install ca-certificates, then devtls trust"
    assert not store.apply_plan(store.probe(), root)


def test_a_read_only_system_is_reported(machine: Machine, root: RootCertificate) -> None:
    become_debian(machine)
    facts = dataclasses.replace(SystemStore(machine).probe(), read_only=True)
    assert SystemStore(machine).trust_state(facts, root.fingerprint).status is Status.READ_ONLY


def test_a_hanging_refresh_is_given_up(machine: Machine, root: RootCertificate) -> None:
    become_debian(machine, "sleep 60")
    store = SystemStore(machine, timeout_s=0.2)
    outcome = execute(store.apply_plan(store.probe(), root), RUNNER)
    assert store.read_failure(store.probe(), outcome).status is Status.HANGING


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (StepFailure.READ_ONLY, Status.READ_ONLY),
        (StepFailure.NO_TOOL, Status.NO_TOOL),
        (StepFailure.FAILED, Status.FAILED),
        (StepFailure.NOT_PERMITTED, Status.FAILED),
    ],
)
def test_each_trouble_has_its_own_state_and_a_remedy(machine: Machine, trouble: StepFailure, status: Status) -> None:
    become_debian(machine)
    store = SystemStore(machine)
    state = store.read_failure(store.probe(), Outcome(None, trouble, "why"))
    assert (state.status, state.detail) == (status, "why")
    assert state.remedy


def test_freebsds_directory_of_single_files_is_read_as_a_bundle(machine: Machine, root: RootCertificate) -> None:
    become(machine, next(family for family in FAMILIES if family.name == "FreeBSD"))
    directory = machine.root / "etc/ssl/certs"
    directory.mkdir(parents=True)
    (directory / "1234.0").write_bytes(root.pem)
    (directory / "sub").mkdir()
    store = SystemStore(machine)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED


def test_an_unreadable_anchor_is_no_reason_to_stop(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = become_debian(machine)
    (directory / "secret.crt").write_bytes(b"x")
    opened = Path.open

    def refuse(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "secret.crt":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)  # type: ignore[call-overload]  # passed on as it came

    monkeypatch.setattr(Path, "open", refuse)
    assert SystemStore(machine).probe().anchors == ()
