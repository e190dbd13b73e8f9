from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.doctor.health.authority import ProbedCa, probe_ca
from devtls.doctor.health.shell import NamedFile, ShellFacts, probe_shell
from devtls.names import DEFAULT_ZONES
from devtls.system.changes.clientenv.files import retire_files, write_files
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.record import ChangeRecord
from devtls.system.machine.machine import Machine
from devtls.system.storage.keystore import Keystore
from tests.system.changes.truststore.foreign_roots import make_foreign_root


@pytest.fixture(autouse=True)
def system_bundle(machine: Machine) -> Path:
    bundle = machine.root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(make_foreign_root("mkcert a", "mkcert development CA"))
    return bundle


def env(ca: ProbedCa, machine: Machine) -> dict[str, str]:
    """Do what devtls env does, and return the variables."""
    assert ca.root is not None
    planned = plan_environment(probe(ca.facts.directory, ca.root, {}, machine.root))
    write_files(ca.facts.directory, planned.files)
    return dict(planned.variables)


def test_what_devtls_env_has_set_is_as_it_should_be(ca: ProbedCa, machine: Machine) -> None:
    variables = env(ca, machine)
    found = probe_shell(ca, machine, variables)
    assert {file.variable for file in found.files} == set(variables)
    assert all(file.holds_root and file.is_ours and file.certificates for file in found.files)
    assert found.outdated == ()


def test_after_untrust_it_is_told_that_files_without_the_root_are_right(ca: ProbedCa, machine: Machine) -> None:
    variables = env(ca, machine)
    ChangeRecord(ca.facts.directory).begin_trust()
    assert not probe_shell(ca, machine, variables).retired
    retire_files(ca.facts.directory, variables)
    found = probe_shell(ca, machine, variables)
    assert found.retired
    assert [file.variable for file in found.files if file.certificates and not file.holds_root]


def test_after_another_ca_every_file_is_outdated(ca: ProbedCa, machine: Machine, keystore: Keystore) -> None:
    variables = env(ca, machine)
    keystore.create(DEFAULT_ZONES, datetime.now(UTC))
    found = probe_shell(probe_ca(keystore.state_dir, datetime.now(UTC)), machine, variables)
    assert not any(file.holds_root for file in found.files)
    assert {str(path) for path in found.outdated} == {file.path for file in found.files}


def test_after_an_update_of_the_systems_roots_bundles_are_outdated(
    ca: ProbedCa, machine: Machine, system_bundle: Path
) -> None:
    env(ca, machine)
    with system_bundle.open("ab") as file:
        file.write(make_foreign_root("mkcert b", "mkcert development CA"))
    names = {path.name for path in probe_shell(ca, machine, {}).outdated}
    assert "ca-bundle.pem" in names
    assert "devtls-root.pem" not in names


def test_files_and_directories_of_the_users_own_are_read(ca: ProbedCa, machine: Machine, tmp_path: Path) -> None:
    directory = tmp_path / "roots"
    (directory / "sub").mkdir(parents=True)
    (directory / "a.pem").write_bytes(make_foreign_root("mkcert a", "mkcert development CA"))
    (tmp_path / "no.p12").write_bytes(b"rubbish")
    environ = {
        "SSL_CERT_FILE": str(directory),
        "PIP_CERT": str(tmp_path / "gone"),
        "AWS_CA_BUNDLE": str(tmp_path / "no.p12"),
    }
    assert probe_shell(ca, machine, environ).files == (
        NamedFile("SSL_CERT_FILE", str(directory), 1, holds_root=False, is_ours=False),
        NamedFile("PIP_CERT", str(tmp_path / "gone"), 0, holds_root=False, is_ours=False),
        NamedFile("AWS_CA_BUNDLE", str(tmp_path / "no.p12"), 0, holds_root=False, is_ours=False),
    )


def test_switches_and_proxies_are_seen_in_both_spellings(ca: ProbedCa, machine: Machine) -> None:
    environ = {
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
        "GIT_SSL_NO_VERIFY": "false",
        "HTTPS_PROXY": "http://a",
        "http_proxy": "http://b",
        "NO_PROXY": ".test",
    }
    assert probe_shell(ca, machine, environ) == ShellFacts(
        checks_off=("NODE_TLS_REJECT_UNAUTHORIZED",),
        proxies={"http_proxy": "http://b", "https_proxy": "http://a"},
        no_proxy=".test",
        zones=DEFAULT_ZONES,
    )


def test_without_a_ca_nothing_is_outdated(no_ca: ProbedCa, machine: Machine) -> None:
    found = probe_shell(no_ca, machine, {"SSL_CERT_FILE": str(machine.root / "etc/ssl/certs/ca-certificates.crt")})
    assert all(file.holds_root for file in found.files)
    assert (found.outdated, found.zones) == ((), DEFAULT_ZONES)
