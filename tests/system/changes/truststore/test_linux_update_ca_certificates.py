"""Debian's way, which is Gentoo's too, with the real update-ca-certificates on directories of the test's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devtls.system.changes.change import Status
from devtls.system.changes.truststore.families import FAMILIES, Family
from devtls.system.changes.truststore.linux import SystemStore
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import execute
from devtls.system.machine.machine import Machine
from tests.conftest import RequireTool
from tests.system.as_root import AS_ROOT
from tests.system.changes.truststore.foreign_roots import make_foreign_root

RUNNER = AS_ROOT
WITH_DEBIANS_SCRIPT = [family for family in FAMILIES if family.name in ("Debian", "Gentoo")]


def _become(machine: Machine, family: Family, script: str) -> tuple[Path, Path]:
    """Give the redirected system Debian's script and its directories; return those of the anchors and of the bundle."""
    anchors, certificates = machine.root / family.anchor_directory, machine.root / "etc/ssl/certs"
    shipped, hooks = machine.root / "usr/share/ca-certificates", machine.root / "etc/ca-certificates/update.d"
    for directory in (anchors, certificates, shipped, hooks):
        directory.mkdir(parents=True)
    settings = machine.root / "etc/ca-certificates.conf"
    settings.write_text("")
    directories = {"certsconf": settings, "certsdir": shipped, "localcertsdir": anchors, "etccertsdir": certificates}
    options = " ".join(f"--{name} {directory}" for name, directory in {**directories, "hooksdir": hooks}.items())
    tool = machine.root / "usr/sbin/update-ca-certificates"
    tool.write_text(f'#!/bin/sh\nexec {script} {options} "$@"\n')
    tool.chmod(0o755)
    (machine.root / "etc/os-release").write_text(f"ID={family.os_ids[0]}\n")
    return anchors, certificates


def _everything(directory: Path) -> dict[str, bytes | str]:
    """Return each file's bytes and each link's target."""
    found = sorted(directory.iterdir())
    return {path.name: str(path.readlink()) if path.is_symlink() else path.read_bytes() for path in found}


@pytest.mark.parametrize("family", WITH_DEBIANS_SCRIPT, ids=lambda family: family.name)
def test_bundle_and_links_come_back_byte_for_byte(
    family: Family, machine: Machine, root: RootCertificate, older_root: RootCertificate, require_tool: RequireTool
) -> None:
    script = require_tool("update-ca-certificates", "sudo apt-get install ca-certificates")
    anchors, certificates = _become(machine, family, script)
    (anchors / "company.crt").write_bytes(older_root.pem)
    (anchors / "branch.crt").write_bytes(make_foreign_root("Branch CA"))  # a bundle of one would get a link of its own
    subprocess.run([machine.root / "usr/sbin/update-ca-certificates", "--fresh"], check=True, capture_output=True)
    before = _everything(certificates), _everything(anchors)
    assert "ca-certificates.crt" in before[0]
    store = SystemStore(machine)
    assert execute(store.apply_plan(store.probe(), root), RUNNER).done
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED
    assert len(_everything(certificates)) == len(before[0]) + 2  # the link by name and the one by hash
    assert not store.apply_plan(store.probe(), root)
    assert execute(store.revert_plan(store.probe(), {root.fingerprint}), RUNNER).done
    assert (_everything(certificates), _everything(anchors)) == before
