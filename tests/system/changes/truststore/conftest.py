from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority, NewKey, create_authority
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT

ToolMaker: TypeAlias = Callable[[str, str], Path]


def make_authority() -> Authority:
    curve = ec.SECP256R1()
    return create_authority(
        DEFAULT_ZONES,
        now=datetime.now(UTC),
        pki_port=20000,
        root=NewKey(ec.generate_private_key(curve), x509.random_serial_number()),
        intermediates={"any": NewKey(ec.generate_private_key(curve), x509.random_serial_number())},
    )


def make_root(directory: Path, authority: Authority | None = None) -> RootCertificate:
    authority = authority or make_authority()
    path = directory / f"{authority.id}.pem"
    path.write_bytes(authority.root_pem)
    return RootCertificate(authority.id, authority.root_der, path)


@pytest.fixture
def root(tmp_path: Path) -> RootCertificate:
    return make_root(tmp_path)


@pytest.fixture(scope="session")
def older_authority() -> Authority:
    """The CA whose root is in a store already; one for all, so that a store with it is made once."""
    return make_authority()


@pytest.fixture
def older_root(tmp_path: Path, older_authority: Authority) -> RootCertificate:
    return make_root(tmp_path, older_authority)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    system, home = tmp_path / "system", tmp_path / "home"
    for directory in (system / "usr" / "bin", system / "usr" / "sbin", system / "etc", home):
        directory.mkdir(parents=True)
    return Machine.redirected(system, home, {}, elevation=ALREADY_ROOT)


@pytest.fixture
def make_tool(machine: Machine) -> ToolMaker:
    """Return a function that puts a shell script at a path below the redirected system."""

    def make(name: str, script: str) -> Path:
        path = machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make
