from __future__ import annotations

from pathlib import Path

from devtls.system.changes.truststore.bundle import write_extended_bundle, write_merged_bundle
from devtls.system.changes.truststore.root import RootCertificate, certificates_in
from devtls.system.machine.machine import Machine


def test_the_bundle_holds_the_systems_roots_and_ours_once(
    machine: Machine, root: RootCertificate, older_root: RootCertificate, tmp_path: Path
) -> None:
    system = machine.root / "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
    system.parent.mkdir(parents=True)
    system.write_bytes(b"# comment\n" + root.pem + older_root.pem)
    written = write_merged_bundle(tmp_path / "bundle.pem", root, machine.root)
    assert written is not None
    assert list(certificates_in(written.read_bytes())) == [older_root.der, root.der]


def test_a_bundle_of_our_root_alone_is_never_written(machine: Machine, root: RootCertificate, tmp_path: Path) -> None:
    (machine.root / "etc/ssl").mkdir()
    (machine.root / "etc/ssl/cert.pem").touch()
    assert write_merged_bundle(tmp_path / "bundle.pem", root, machine.root) is None
    assert not (tmp_path / "bundle.pem").exists()


def test_a_file_that_a_variable_names_already_is_extended_not_replaced(
    root: RootCertificate, older_root: RootCertificate, tmp_path: Path
) -> None:
    corporate = tmp_path / "corporate.pem"
    corporate.write_bytes(older_root.pem)
    written = write_extended_bundle(tmp_path / "bundle.pem", root, corporate)
    assert written is not None
    assert list(certificates_in(written.read_bytes())) == [older_root.der, root.der]
    assert corporate.read_bytes() == older_root.pem
    assert write_extended_bundle(tmp_path / "none.pem", root, tmp_path / "gone.pem") is None
