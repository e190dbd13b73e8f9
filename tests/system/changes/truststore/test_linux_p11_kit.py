"""Fedora's, Arch's and openSUSE's way with the real p11-kit: its `trust` reads a directory of the test's.

The directory is put in the place of the system's by a bind mount over p11-kit's own settings, in a mount namespace that
only each call of the tool is in.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devtls.system.changes.change import Status
from devtls.system.changes.truststore.families import FAMILIES, Family
from devtls.system.changes.truststore.linux import SystemStore
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import execute
from devtls.system.machine.machine import Machine
from tests.conftest import Missing, RequireTool
from tests.system.as_root import AS_ROOT

RUNNER = AS_ROOT
SETTINGS = Path("/usr/share/p11-kit/modules/p11-kit-trust.module")
FAMILIES_WITH_P11_KIT = [family for family in FAMILIES if family.p11_kit]
EXTRACT = "extract --format=pem-bundle --filter=ca-anchors --purpose=server-auth --overwrite"


@pytest.fixture
def trust(require_tool: RequireTool, missing: Missing) -> str:
    tool = require_tool("trust", "sudo apt-get install p11-kit")
    if not SETTINGS.is_file():
        missing("p11-kit's trust module is not installed: sudo apt-get install p11-kit-modules")
    if os.geteuid() != 0:
        pytest.skip("needs root, to show p11-kit another directory")
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("no mount namespace here")
    return tool


def _become(machine: Machine, family: Family, trust: str) -> Path:
    """Give the redirected system p11-kit's tool and a refresh that extracts with it; return the anchor directory."""
    directory = machine.root / family.anchor_directory
    directory.mkdir(parents=True)
    settings = machine.root / "p11-kit-trust.module"
    lines = [line for line in SETTINGS.read_text().splitlines() if not line.startswith(("x-init-reserved", "#"))]
    settings.write_text("\n".join([*lines, f"x-init-reserved: paths='{directory.parent}'", ""]))
    tool = machine.root / "usr/bin/trust"
    mount = f'mount --bind {settings} {SETTINGS} && exec {trust} "$@"'
    tool.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{mount}' sh \"$@\"\n")
    tool.chmod(0o755)
    bundle = machine.root / family.bundles[0]
    bundle.parent.mkdir(parents=True)
    refresh = machine.root / "usr/sbin" / family.refreshes[0].tool
    refresh.write_text(f"#!/bin/sh\n{tool} {EXTRACT} {bundle}\n")
    refresh.chmod(0o755)
    (machine.root / "etc/os-release").write_text(f"ID={family.os_ids[0]}\n")
    return directory


@pytest.mark.parametrize("family", FAMILIES_WITH_P11_KIT, ids=lambda family: family.name)
def test_an_anchor_reaches_the_bundle_through_p11_kit_and_leaves_it_again(
    family: Family, machine: Machine, trust: str, root: RootCertificate, older_root: RootCertificate
) -> None:
    directory = _become(machine, family, trust)
    (directory / "company.pem").write_bytes(older_root.pem)
    subprocess.run([machine.root / "usr/sbin" / family.refreshes[0].tool], check=True)
    bundle = machine.root / family.bundles[0]
    before = bundle.read_bytes()
    store = SystemStore(machine, runner=RUNNER)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.APPLIED
    assert facts.anchored == frozenset({root.fingerprint, older_root.fingerprint})
    assert not store.apply_plan(facts, root)
    assert execute(store.revert_plan(facts, {root.fingerprint}), RUNNER).done
    assert bundle.read_bytes() == before
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT


def test_a_root_that_an_administrator_blocked_is_not_called_trusted(
    machine: Machine, trust: str, root: RootCertificate
) -> None:
    """The bundle is older than the block: OpenSSL would still trust it, GnuTLS and Firefox do not."""
    family = FAMILIES_WITH_P11_KIT[0]
    directory = _become(machine, family, trust)
    store = SystemStore(machine, runner=RUNNER)
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    blocked = directory.parent / "blocklist"
    blocked.mkdir()
    (blocked / "root.pem").write_bytes(root.pem)
    state = store.trust_state(store.probe(), root.fingerprint)
    assert (state.status, "p11-kit does not name it an anchor" in state.detail) == (Status.ABSENT, True)


def test_a_p11_kit_that_cannot_say_is_not_asked_to_agree(machine: Machine, trust: str, root: RootCertificate) -> None:
    family = FAMILIES_WITH_P11_KIT[0]
    _become(machine, family, trust)
    store = SystemStore(machine, runner=RUNNER)
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    (machine.root / "usr/bin/trust").write_text("#!/bin/sh\nexit 2\n")
    facts = store.probe()
    assert facts.anchored is None
    assert store.trust_state(facts, root.fingerprint).status is Status.APPLIED
