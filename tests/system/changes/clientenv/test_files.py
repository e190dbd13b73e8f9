from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from devtls.errors import StateError
from devtls.pki.java_truststore import read_truststore, write_pkcs12
from devtls.system.changes.clientenv.bundle_file import base_of, render_bundle
from devtls.system.changes.clientenv.files import ClientFiles, DesiredFiles, renew_files, retire_files, write_files
from devtls.system.changes.clientenv.java_options import extend
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, pem_of
from tests.system.changes.clientenv.conftest import CORPORATE


def test_files_are_written_once_for_all_to_read(directory: Path) -> None:
    path = directory / "ca-bundle.pem"
    old = os.umask(0o077)
    try:
        write_files(directory, {path: b"one"})
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    before = path.stat().st_ino
    write_files(directory, {path: b"one"})
    assert path.stat().st_ino == before, "one that is right already is not touched"
    write_files(directory, {path: b"two"})
    assert [each.read_bytes() for each in directory.iterdir()] == [b"two"]


def test_a_reader_never_sees_half_a_file(directory: Path) -> None:
    """Whoever opened the old one reads it to its end."""
    path = directory / "ca-bundle.pem"
    write_files(directory, {path: b"old" * 1000})
    with path.open("rb") as reader:
        reader.read(3)
        write_files(directory, {path: b"new"})
        assert reader.read() == b"old" * 999
    assert path.read_bytes() == b"new"


def test_a_directory_that_cannot_be_written_is_an_error_with_a_hint(directory: Path) -> None:
    with pytest.raises(StateError, match="cannot be written") as caught:
        write_files(directory, {directory / "missing" / "ca-bundle.pem": b"x"})
    assert "disk" in caught.value.hint
    (directory / "ca-bundle.pem").mkdir()
    for act in (
        lambda: write_files(directory, {directory / "ca-bundle.pem": b"x"}),
        lambda: retire_files(directory, {}),
    ):
        with pytest.raises(StateError, match=r"ca-bundle\.pem cannot be read: Is a directory") as caught:
            act()
        assert "disk" in caught.value.hint


@pytest.fixture
def lists(directory: Path, older_root: RootCertificate) -> tuple[Path, Path]:
    bundle, store = directory / "ca-bundle-12345678.pem", directory / "devtls-truststore-12345678.p12"
    bundle.write_bytes(render_bundle([CORPORATE, older_root.der], "/corp.pem"))
    store.write_bytes(write_pkcs12({"corp": CORPORATE, older_root.nickname: older_root.der}))
    return bundle, store


def test_a_new_ca_takes_the_place_of_the_old_one_in_every_list(
    directory: Path, root: RootCertificate, lists: tuple[Path, Path]
) -> None:
    bundle, store = lists
    damaged = directory / "ca-bundle-0.pem"
    damaged.write_bytes(b"nothing")
    assert ClientFiles(directory).outdated(DesiredFiles(root=root)) == lists
    renew_files(directory, root)
    assert ClientFiles(directory).outdated(DesiredFiles(root=root)) == ()
    assert list(certificates_in(bundle.read_bytes())) == [CORPORATE, root.der]
    assert base_of(bundle.read_bytes()) == "/corp.pem"
    assert read_truststore(store.read_bytes()) == (CORPORATE, root.der)
    assert damaged.read_bytes() == b"nothing"


def test_retired_lists_are_deleted(directory: Path, root: RootCertificate, lists: tuple[Path, Path]) -> None:
    root_file = directory / "devtls-root.pem"
    root_file.write_bytes(root.pem)
    assert retire_files(directory, {}) == ()
    assert not any(path.exists() for path in (*lists, root_file))


def test_retired_lists_that_a_variable_names_go_on_without_us(directory: Path, lists: tuple[Path, Path]) -> None:
    bundle, store = lists
    environ = {"GIT_SSL_CAINFO": str(bundle), "JAVA_TOOL_OPTIONS": extend("-Da", str(store)), "PIP_CERT": "/other"}
    assert retire_files(directory, environ) == ("GIT_SSL_CAINFO", "JAVA_TOOL_OPTIONS")
    assert bundle.read_bytes().endswith(pem_of(CORPORATE))
    assert list(certificates_in(bundle.read_bytes())) == [CORPORATE]
    assert base_of(bundle.read_bytes()) == "/corp.pem"
    assert read_truststore(store.read_bytes()) == (CORPORATE,)


def test_a_damaged_truststore_is_not_kept(directory: Path) -> None:
    store = directory / "devtls-truststore.p12"
    store.write_bytes(b"nonsense")
    assert retire_files(directory, {"JAVA_TOOL_OPTIONS": extend("", str(store))}) == ("JAVA_TOOL_OPTIONS",)
    assert not store.exists()
