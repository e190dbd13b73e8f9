from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devtls.system.changes.truststore.java_keystore import PASSWORD, Unreadable, read_keystore
from devtls.system.changes.truststore.root import RootCertificate
from tests.conftest import RequireTool
from tests.system.changes.truststore.keytool import HOW_TO_INSTALL, NO_PASSWORD, QUICK_START, aliases, import_into


@pytest.fixture
def tool(require_tool: RequireTool) -> str:
    return require_tool("keytool", HOW_TO_INSTALL)


def _made(tmp_path: Path, tool: str, roots: list[RootCertificate], *more: str) -> Path:
    store = tmp_path / "store"
    for root in roots:
        import_into(store, tool, f"Alias-{root.id}", Path(root.path), more)
    return store


@pytest.mark.parametrize(
    "more", [("-storetype", "JKS"), ("-storetype", "PKCS12"), ("-storetype", "PKCS12", *NO_PASSWORD)]
)
def test_what_keytool_wrote_is_read_as_keytool_lists_it(
    tmp_path: Path, tool: str, root: RootCertificate, older_root: RootCertificate, more: tuple[str, ...]
) -> None:
    store = _made(tmp_path, tool, [root, older_root], *more)
    held = read_keystore(store.read_bytes())
    assert not isinstance(held, Unreadable)
    assert {entry.alias.lower(): entry.fingerprint for entry in held} == aliases(tool, store)  # they have no case
    assert {entry.der for entry in held} == {root.der, older_root.der}


def test_a_private_key_beside_the_roots_is_skipped(tmp_path: Path, tool: str, root: RootCertificate) -> None:
    store = _made(tmp_path, tool, [root], "-storetype", "JKS")
    where = ("-keystore", str(store), "-storepass", PASSWORD, "-keypass", PASSWORD)
    argv = [tool, *QUICK_START, "-genkeypair", "-alias", "own", "-keyalg", "EC", "-dname", "CN=own", *where]
    subprocess.run(argv, check=True, capture_output=True)
    held = read_keystore(store.read_bytes())
    assert not isinstance(held, Unreadable)
    assert [entry.der for entry in held] == [root.der]


@pytest.mark.parametrize("kind", ["JKS", "PKCS12"])
def test_another_password_is_noticed(tmp_path: Path, tool: str, root: RootCertificate, kind: str) -> None:
    store = tmp_path / "store"
    argv = [tool, *QUICK_START, "-importcert", "-noprompt", "-alias", "a", "-file", str(root.path), "-storetype", kind]
    subprocess.run([*argv, "-keystore", store, "-storepass", "of my own"], check=True, capture_output=True)
    assert read_keystore(store.read_bytes()) is Unreadable.OTHER_PASSWORD


@pytest.mark.parametrize(
    "data", [b"", b"\xfe\xed\xfe\xed", b"PEM?", b"\x30\x03\x02\x01\x03", b"\xfe\xed\xfe\xed" + bytes(8)]
)
def test_other_files_are_no_keystores(data: bytes) -> None:
    assert read_keystore(data) is Unreadable.NO_KEYSTORE


def test_a_keystore_that_ends_early_is_none_wherever_it_is_cut(
    tmp_path: Path, tool: str, root: RootCertificate
) -> None:
    data = _made(tmp_path, tool, [root], "-storetype", "JKS").read_bytes()
    assert all(isinstance(read_keystore(data[:end]), Unreadable) for end in range(len(data)))
    odd = data[:12] + b"\x00\x00\x00\x09" + data[16:]
    assert read_keystore(odd) is Unreadable.NO_KEYSTORE
