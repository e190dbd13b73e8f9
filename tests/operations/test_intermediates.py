"""Intermediates for others: what is written where, and that nothing is signed which could not be written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import NameNotPermitted, Refused, StateError
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.operations.ca_keys import root_key_lock
from devtls.operations.certificate_lookup import open_certificates
from devtls.operations.context import Context
from devtls.operations.intermediates import IntermediateRequest, issue_intermediate
from devtls.pki import locked_key
from devtls.pki.authority import Authority
from devtls.system.storage.passphrase import PassphraseSource

KNOWN = PassphraseSource(ask=lambda _question: "correct horse battery")
ZONE = (Hostname("shop.test"),)


@pytest.fixture
def ca(context: Context, monkeypatch: pytest.MonkeyPatch) -> tuple[Context, Authority]:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))
    authority = context.keystore.create(DEFAULT_ZONES, context.now, locks=root_key_lock(KNOWN))
    return replace(context, passphrases=KNOWN), authority


def recorded(context: Context) -> list[str]:
    return list(open_certificates(context).history.issued)


def test_an_intermediate_is_recorded_and_written_with_its_key_the_root_and_the_crl(
    ca: tuple[Context, Authority], tmp_path: Path
) -> None:
    context, authority = ca
    issued = issue_intermediate(context, IntermediateRequest(None, ZONE, 30, tmp_path / "out"))
    assert list(issued.files) == ["key", "certificate", "root", "list"]
    assert recorded(context) == [issued.serial]
    assert issued.zones == ZONE
    assert x509.load_pem_x509_certificate(issued.files["certificate"].read_bytes()) == issued.certificate
    assert issued.files["certificate"].name == f"devtls-intermediate-{issued.id}.pem"
    assert issued.files["root"].read_bytes() == authority.root_pem
    assert issued.files["list"].read_bytes() == authority.root_crl_der


def test_files_that_exist_are_refused_before_anything_is_signed(ca: tuple[Context, Authority], tmp_path: Path) -> None:
    context, _ = ca
    key = ec.generate_private_key(ec.SECP256R1())
    csr = tmp_path / "theirs.csr"
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    csr.write_bytes(request.public_bytes(Encoding.PEM))
    wanted = IntermediateRequest(csr, (), 30, tmp_path)
    first = issue_intermediate(context, wanted)
    assert (list(first.files), first.zones) == (["certificate", "root", "list"], DEFAULT_ZONES)
    with pytest.raises(Refused, match="exists already"):
        issue_intermediate(context, wanted)
    assert recorded(context) == [first.serial]
    second = issue_intermediate(context, replace(wanted, force=True))
    assert recorded(context) == [first.serial, second.serial]


def test_a_foreign_zone_and_a_missing_request_are_refused(ca: tuple[Context, Authority], tmp_path: Path) -> None:
    context, _ = ca
    with pytest.raises(NameNotPermitted):
        issue_intermediate(context, IntermediateRequest(None, (Hostname("shop.internal"),), 30, tmp_path / "out"))
    with pytest.raises(StateError, match="cannot be read"):
        issue_intermediate(context, IntermediateRequest(tmp_path / "none", (), 30, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert recorded(context) == []
