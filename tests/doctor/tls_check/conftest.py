from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from devtls.doctor.tls_check.address import parse_address
from devtls.doctor.tls_check.check import CheckEnvironment, TlsCheckResult, check_server
from devtls.doctor.tls_check.handshake import CheckTarget
from devtls.doctor.tls_check.stores import GivenRoots
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.system.storage.keystore import Keystore
from tests.doctor.tls_check.pki import NOW, Issued, LeafSpec, make_intermediate, make_root

NAME = "app.check.test"

Check = Callable[..., TlsCheckResult]


@pytest.fixture(scope="session")
def root() -> Issued:
    return make_root()


@pytest.fixture(scope="session")
def intermediate(root: Issued) -> Issued:
    return make_intermediate(root)


@pytest.fixture
def leaf(intermediate: Issued) -> Issued:
    return intermediate.issue(LeafSpec())


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Return an empty Debian: its stores hold what the test puts there."""
    directory = tmp_path / "system"
    (directory / "etc/ssl/certs").mkdir(parents=True)
    (directory / "usr/local/share/ca-certificates").mkdir(parents=True)
    (directory / "etc/os-release").write_text("ID=debian\n")
    return directory


@pytest.fixture
def check(root: Issued, system: Path, home: Path) -> Check:
    """Return a function that checks a port of 127.0.0.1 under a name, with the test's root as `--ca` unless told."""

    def run(
        port: int, name: str = NAME, *, trusted: tuple[Issued, ...] = (root,), now: datetime = NOW, timeout_s: float = 5
    ) -> TlsCheckResult:
        given = (GivenRoots(Path("roots.pem"), tuple(each.facts for each in trusted)),) if trusted else ()
        machine = Machine.redirected(system, home, {})
        around = CheckEnvironment(machine, ProcessRunner(), Keystore(home / "state"), given, now)
        return check_server(CheckTarget(parse_address(f"{name}:{port}"), "127.0.0.1", port, timeout_s), around)

    return run
