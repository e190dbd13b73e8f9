from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from devtls.doctor.health.authority import ProbedCa
from devtls.doctor.health.clients import probe_clients
from devtls.doctor.proof import ForeignOutcome, Verdict
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from tests.system.changes.truststore.foreign_roots import make_foreign_root
from tests.system.machine.small_debian import CURL


def tool(machine: Machine, name: str, script: str) -> None:
    path = machine.root / "usr/bin" / name
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_client_is_tried_with_what_devtls_env_would_give_and_nothing_is_written(
    ca: ProbedCa, machine: Machine
) -> None:
    bundle = machine.root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(make_foreign_root("mkcert a", "mkcert development CA"))
    tool(machine, "curl", CURL)
    before = files(ca.facts.directory)
    (report,) = probe_clients(machine, ProcessRunner(), ca, {})
    assert (report.client, report.verdict, report.foreign) == (
        "curl",
        Verdict.TRUSTED_WITH,
        ForeignOutcome.REFUSED_FOR_NAME,
    )
    assert files(ca.facts.directory) == before
    assert not Path(report.setting.partition("=")[2]).exists()


def test_without_a_bundle_to_name_a_client_that_needs_one_refuses(ca: ProbedCa, machine: Machine) -> None:
    tool(machine, "curl", CURL)
    (report,) = probe_clients(machine, ProcessRunner(), ca, {})
    assert report.verdict is Verdict.REFUSED


def test_without_a_ca_nobody_is_asked(ca: ProbedCa, machine: Machine) -> None:
    tool(machine, "curl", "exit 0")
    assert probe_clients(machine, ProcessRunner(), replace(ca, authority=None), {}) == ()
