"""Intermediates for others, signed with the root's key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from devtls.errors import ExitCode
from devtls.pki.authority import Authority
from devtls.pki.register import serial_text
from tests.cli.ca.passphrases import PASSPHRASE
from tests.cli.shell import Shell


def test_an_intermediate_is_issued_with_a_key_and_the_root(
    shell: Shell, kept: Authority, given: Callable[[str], str], tmp_path: Path
) -> None:
    out = tmp_path / "issued"
    argv = ("ca", "intermediate", "--zone", "shop.test", "--days", "30", "--out", str(out), "--passphrase-fd")
    result = shell.succeed(*argv, given(PASSPHRASE))
    key_file, certificate_file, root_file, list_file = (Path(line) for line in result.stdout.splitlines())
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    certificate.verify_directly_issued_by(kept.root)
    key = load_pem_private_key(key_file.read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert root_file.read_bytes() == kept.root_pem
    assert list_file.read_bytes() == kept.root_crl_der
    options = f"--cert {certificate_file} --key {key_file} --chain {root_file} --crl {list_file}"
    assert f"devtls ca import {options}" in result.stderr


def test_a_request_is_certified_and_its_key_stays_where_it_was_made(
    shell: Shell, kept: Authority, given: Callable[[str], str], tmp_path: Path
) -> None:
    theirs = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(theirs, SHA256())
    csr = tmp_path / "theirs.csr"
    csr.write_bytes(request.public_bytes(Encoding.PEM))
    argv = ("ca", "intermediate", "--csr", str(csr), "--out", str(tmp_path), "--json", "--passphrase-fd")
    values = json.loads(shell.succeed(*argv, given(PASSPHRASE)).stdout)
    assert set(values["files"]) == {"certificate", "root", "list"}
    certificate = x509.load_pem_x509_certificate(Path(values["files"]["certificate"]).read_bytes())
    assert certificate.public_key() == theirs.public_key()
    assert serial_text(certificate.serial_number) == values["serial"]
    assert "--force" in shell.fail(ExitCode.REFUSED, *argv, given(PASSPHRASE)).hint
    shell.succeed(*argv, given(PASSPHRASE), "--force")
    missing = ("ca", "intermediate", "--csr", str(tmp_path / "none.csr"), "--passphrase-fd", given(PASSPHRASE))
    shell.fail(ExitCode.STATE, *missing)


def test_a_zone_outside_the_roots_is_refused_before_anything_is_written(
    shell: Shell, kept: Authority, given: Callable[[str], str], tmp_path: Path
) -> None:
    argv = ("ca", "intermediate", "--zone", "shop.internal", "--out", str(tmp_path / "out"), "--passphrase-fd")
    error = shell.fail(ExitCode.STATE, *argv, given(PASSPHRASE))
    assert "shop.internal" in str(error)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    nowhere = ("ca", "intermediate", "--out", str(tmp_path / "file" / "x"), "--passphrase-fd")
    shell.fail(ExitCode.STATE, *nowhere, given(PASSPHRASE))
