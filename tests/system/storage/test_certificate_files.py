from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from devtls.errors import Refused, StateError
from devtls.names import DEFAULT_ZONES
from devtls.system.storage.certificate_files import (
    chain_file,
    file_stem,
    key_file,
    new_certificate_key,
    pkcs12_file,
    refuse_to_overwrite,
    write_files,
)
from devtls.system.storage.keystore import Keystore


@pytest.fixture
def chain(tmp_path: Path) -> list[x509.Certificate]:
    authority = Keystore(tmp_path / "state").create(DEFAULT_ZONES, datetime.now(UTC))
    return [authority.intermediate.certificate, authority.root]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("app.dev.local", "app.dev.local"),
        ("*.app.test", "_wildcard.app.test"),
        (ip_address("::1"), "__1"),
        (ip_address("127.0.0.1"), "127.0.0.1"),
    ],
)
def test_files_have_a_name_that_every_file_system_takes(name: str, stem: str) -> None:
    assert file_stem(name) == stem


@pytest.mark.parametrize(("key_type", "kind"), [("ecdsa", ec.EllipticCurvePrivateKey), ("rsa", rsa.RSAPrivateKey)])
def test_a_key_is_read_back(key_type: str, kind: type) -> None:
    key = new_certificate_key(key_type)
    read = load_pem_private_key(key_file(key), None)
    assert isinstance(read, kind)
    assert read.public_key() == key.public_key()


def test_pkcs12_holds_key_and_chain_behind_the_passphrase(chain: list[x509.Certificate]) -> None:
    key = new_certificate_key("ecdsa")
    ours = [self_signed(key), *chain]
    content = pkcs12_file(key, ours, "app.dev.local", b"secret")
    read, leaf, others = load_key_and_certificates(content, b"secret")
    assert isinstance(read, ec.EllipticCurvePrivateKey)
    assert read.public_key() == key.public_key()
    assert [leaf, *others] == ours
    with pytest.raises(ValueError, match=r"[Pp]assword"):
        load_key_and_certificates(content, b"")


def self_signed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> x509.Certificate:
    from cryptography.hazmat.primitives.hashes import SHA256

    name, now = x509.Name([]), datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    return builder.serial_number(1).not_valid_before(now).not_valid_after(now).sign(key, SHA256())


def test_a_chain_is_one_text(chain: list[x509.Certificate]) -> None:
    assert x509.load_pem_x509_certificates(chain_file(chain)) == chain


@pytest.mark.parametrize("force", [False, True])
def test_private_files_are_for_the_owner_alone_and_the_directory_is_made(tmp_path: Path, force: bool) -> None:
    key, certificate = tmp_path / "new" / "folder" / "a-key.pem", tmp_path / "new" / "folder" / "a.pem"
    before = os.umask(0o022)
    try:
        write_files({key: b"key"}, {certificate: b"certificate"}, force=force)
    finally:
        os.umask(before)
    assert (mode(key), mode(certificate)) == (0o600, 0o644)
    assert (key.read_bytes(), certificate.read_bytes()) == (b"key", b"certificate")
    assert {path.name for path in key.parent.iterdir()} == {"a-key.pem", "a.pem"}


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    key, certificate = tmp_path / "a-key.pem", tmp_path / "a.pem"
    key.write_bytes(b"old")
    with pytest.raises(Refused, match=r"a-key\.pem exists already") as caught:
        refuse_to_overwrite([key, certificate])
    assert "--force" in caught.value.hint
    with pytest.raises(Refused, match=r"a-key\.pem exists already"):
        write_files({key: b"new"}, {certificate: b"new"}, force=False)
    assert key.read_bytes() == b"old"
    assert not certificate.exists()
    write_files({key: b"new"}, {certificate: b"new"}, force=True)
    assert key.read_bytes() == certificate.read_bytes() == b"new"
    assert mode(key) == 0o600
    with pytest.raises(Refused, match=r"a-key\.pem and .*a\.pem exist already"):
        refuse_to_overwrite([key, certificate])


def test_a_link_is_replaced_never_followed(tmp_path: Path) -> None:
    secret, key = tmp_path / "secret", tmp_path / "a-key.pem"
    secret.write_bytes(b"old")
    key.symlink_to(secret)
    with pytest.raises(Refused):
        write_files({key: b"new"}, {}, force=False)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused):
        refuse_to_overwrite([tmp_path / "dangling"])
    write_files({key: b"new"}, {}, force=True)
    assert secret.read_bytes() == b"old"
    assert key.read_bytes() == b"new"
    assert not key.is_symlink()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot be written") as caught:
        write_files({}, {tmp_path / "file" / "a.pem": b""}, force=False)
    assert "--out" in caught.value.hint


@pytest.mark.parametrize("force", [True, False])
def test_a_disk_that_is_full_gets_no_half_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    key, certificate = tmp_path / "a-key.pem", tmp_path / "a.pem"
    if force:
        key.write_bytes(b"old")
        certificate.write_bytes(b"old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    sync, synced = os.fsync, []

    def until_full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", until_full)
    with pytest.raises(StateError, match="No space left"):
        write_files({key: b"new"}, {certificate: b"new"}, force=force)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_directory_in_the_place_of_a_certificate_leaves_the_old_key(tmp_path: Path) -> None:
    key, certificate = tmp_path / "a-key.pem", tmp_path / "a.pem"
    key.write_bytes(b"old")
    certificate.mkdir()
    with pytest.raises(StateError, match=r"a\.pem cannot be written: Is a directory"):
        write_files({key: b"new"}, {certificate: b"new"}, force=True)
    assert key.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-key.pem", "a.pem"]


def test_a_certificate_that_exists_leaves_no_key_behind(tmp_path: Path) -> None:
    key, certificate = tmp_path / "a-key.pem", tmp_path / "a.pem"
    certificate.write_bytes(b"old")
    with pytest.raises(Refused, match=r"a\.pem exists already"):
        write_files({key: b"new"}, {certificate: b"new"}, force=False)
    assert not key.exists()
    assert certificate.read_bytes() == b"old"
