"""CAs that were made elsewhere, imported without a command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from devtls.errors import CertificateError, Refused, StateError, WrongPassphrase
from devtls.names import DEFAULT_ZONES
from devtls.operations.ca_import import ImportFiles, adopt, plan_import, replace_root_crl
from devtls.operations.context import Context
from devtls.operations.rollover import apply_rollover
from devtls.system.storage.passphrase import NO_PASSPHRASES, PassphraseSource
from tests.operations.recording import RecordingReporter
from tests.pki.elsewhere import Made, company, mkcert


def files(
    directory: Path, made: Made, *above: Made, encryption: KeySerializationEncryption | None = None
) -> ImportFiles:
    certificate, key, chain = (directory / name for name in ("ca.crt", "ca.key", "chain.pem"))
    certificate.write_bytes(made.certificate.public_bytes(Encoding.PEM))
    key.write_bytes(made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    chain.write_bytes(b"".join(each.certificate.public_bytes(Encoding.PEM) for each in above))
    return ImportFiles(certificate, key, chain if above else None)


def test_a_plan_writes_nothing_and_the_first_ca_signs_at_once(context: Context, tmp_path: Path) -> None:
    made = mkcert()
    plan = plan_import(context, files(tmp_path, made), (), NO_PASSPHRASES)
    assert (plan.present, plan.validated.name_constrained) == (None, False)
    assert not context.paths.state_dir.exists()
    assert adopt(context, plan) is None
    authority = context.keystore.load(context.now)
    assert (authority.root, authority.zones) == (made.certificate, DEFAULT_ZONES)


def test_an_imported_ca_takes_over_from_the_present_one(
    context: Context, tmp_path: Path, reporter: RecordingReporter
) -> None:
    own = context.keystore.create(DEFAULT_ZONES, context.now)
    root, policy, issuing = company()
    plan = plan_import(context, files(tmp_path, issuing, policy, root), (), NO_PASSPHRASES)
    assert plan.present is not None
    assert plan.validated.authority.pki_port == own.pki_port
    rollover = adopt(context, plan)
    assert rollover is not None
    assert context.keystore.load(context.now).id == own.id
    assert reporter.of("info")[0].startswith("Imported devtls root ")
    assert apply_rollover(context, rollover).switched
    assert context.keystore.load(context.now).path[0] == issuing.certificate
    with pytest.raises(Refused, match="present one already"):
        adopt(context, plan)


def test_the_passphrase_of_the_key_comes_from_the_caller(context: Context, tmp_path: Path) -> None:
    given = files(tmp_path, mkcert(), encryption=BestAvailableEncryption(b"correct horse"))
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return "correct horse"

    assert plan_import(context, given, (), PassphraseSource(ask=ask)).present is None
    assert questions == [f"Passphrase of {given.key}: "]
    with pytest.raises(WrongPassphrase):
        plan_import(context, given, (), PassphraseSource(ask=lambda _question: "wrong"))
    with pytest.raises(Refused, match="no terminal"):
        plan_import(context, given, (), NO_PASSPHRASES)


def test_a_crl_is_replaced_by_a_later_one_of_the_same_root_alone(context: Context, tmp_path: Path) -> None:
    own = context.keystore.create(DEFAULT_ZONES, context.now)
    file = tmp_path / "root.crl"
    file.write_bytes(own.root_crl_der)
    replaced = replace_root_crl(context, file)
    assert (replaced.number, replaced.authority.id, replaced.authority.withdrawn) == (1, own.id, None)
    assert replaced.url == f"http://127.0.0.1:{own.pki_port}/root-{own.id}.crl"
    file.write_bytes(own.intermediate_crl(number=9, this_update=context.now))
    with pytest.raises(CertificateError, match="was not signed by"):
        replace_root_crl(context, file)
    with pytest.raises(StateError, match="cannot be read"):
        replace_root_crl(context, tmp_path / "none.crl")
