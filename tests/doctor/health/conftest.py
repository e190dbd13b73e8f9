"""A small machine below a directory, with an NSS certutil that is a shell script, and a CA beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.doctor.health.authority import ProbedCa, probe_ca
from devtls.doctor.health.diagnosis import DoctorEnvironment
from devtls.names import DEFAULT_ZONES
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths
from devtls.system.machine.plan import ALREADY_ROOT
from devtls.system.storage.keystore import Keystore
from tests.system.as_root import AS_ROOT
from tests.system.machine.small_debian import CERTUTIL


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    system, user = tmp_path / "system", tmp_path / "home"
    for directory in (system / "usr/bin", system / "usr/sbin", system / "etc", user):
        directory.mkdir(parents=True)
    tool = system / "usr/bin/certutil"
    tool.write_text(f"#!/bin/sh\n{CERTUTIL}")
    tool.chmod(0o755)
    return Machine.redirected(system, user, {}, elevation=ALREADY_ROOT)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def keystore(state: Path) -> Keystore:
    made = Keystore(state)
    made.create(DEFAULT_ZONES, datetime.now(UTC))
    return made


@pytest.fixture
def ca(keystore: Keystore) -> ProbedCa:
    return probe_ca(keystore.state_dir, datetime.now(UTC))


@pytest.fixture
def no_ca(ca: ProbedCa) -> ProbedCa:
    return ProbedCa(replace(ca.facts, exists=False, zones=()), None, None)


@pytest.fixture
def environment(machine: Machine, state: Path, tmp_path: Path) -> DoctorEnvironment:
    paths = Paths(state, tmp_path / "config", tmp_path / "run")
    return DoctorEnvironment(machine, paths, AS_ROOT, {}, tmp_path)
