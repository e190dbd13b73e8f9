"""The one test that changes the real system store: only as root, and only when DEVTLS_TEST_SYSTEM_STORE=1 says so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtls.system.changes.change import Status
from devtls.system.changes.truststore.linux import SystemStore
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import ProcessRunner, execute
from devtls.system.machine.machine import Machine
from tests.locks import SYSTEM_STORE, locked

CERTS = Path("/etc/ssl/certs")

pytestmark = pytest.mark.skipif(
    os.environ.get("DEVTLS_TEST_SYSTEM_STORE") != "1" or os.geteuid() != 0,
    reason="changes the real system store: set DEVTLS_TEST_SYSTEM_STORE=1 as root",
)


def _snapshot() -> dict[str, bytes]:
    """Return every text file and link; Java's keystore has dates in it and is compared by its aliases."""
    files = {path for path in CERTS.rglob("*") if path.name != "cacerts" and not path.is_dir()}
    return {
        str(path): os.readlink(path).encode() if path.is_symlink() else path.read_bytes()  # noqa: PTH115
        for path in sorted(files)
    }


def _java_aliases() -> set[str]:
    store, keytool = CERTS / "java" / "cacerts", shutil.which("keytool")
    if not store.exists() or keytool is None:
        return set()
    argv = [keytool, "-list", "-keystore", str(store), "-storepass", "changeit"]
    listed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return {line.split(",")[0] for line in listed.splitlines() if "trustedCertEntry" in line}


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Nobody else looks at the system's store meanwhile."""
    with locked(SYSTEM_STORE):
        yield


def test_trusting_and_untrusting_leaves_the_system_as_it_was(root: RootCertificate) -> None:
    machine = Machine.here()
    store, runner = SystemStore(machine), ProcessRunner(machine.elevation)
    subprocess.run(["update-ca-certificates", "--fresh"], check=True, capture_output=True)
    before, java_before = _snapshot(), _java_aliases()
    try:
        assert execute(store.apply_plan(store.probe(), root), runner).done
        assert store.trust_state(store.probe(), root.fingerprint).status is Status.APPLIED
        assert _snapshot() != before
    finally:
        outcome = execute(store.revert_plan(store.probe(), {root.fingerprint}), runner)
    assert outcome.done, outcome
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT
    assert _snapshot() == before
    assert _java_aliases() == java_before
