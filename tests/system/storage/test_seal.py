"""The short way to the CA: the same signer, and every damage found as the long way finds it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devtls.errors import NoAuthority, StateError
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki.signature import sha256_hex
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.seal import open_sealed

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMES = ["intermediate.key", "intermediate.pem", "root.pem", "root.crl", "signer.json"]


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    found = Keystore(tmp_path / "state")
    found.create(DEFAULT_ZONES, NOW)
    return found


def directory_of(keystore: Keystore) -> Path:
    (directory,) = keystore.state_dir.glob("ca-*")
    return directory


def rewrite_pointer(keystore: Keystore, **changes: object) -> None:
    path = keystore.state_dir / "ca.current"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def open_short(keystore: Keystore, now: datetime = NOW) -> object:
    pointer = json.loads((keystore.state_dir / "ca.current").read_text())
    return open_sealed(directory_of(keystore), pointer["seal_sha256"], now)


def load_whole_authority(*_: object) -> None:
    raise AssertionError("the long way was taken")


def test_the_seal_gives_the_signer_of_the_whole_ca(keystore: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = keystore.load(NOW).signer
    monkeypatch.setattr(Keystore, "load", load_whole_authority)
    signer = keystore.load_signer(NOW)
    for name in whole.__struct_fields__:
        if name != "key":
            assert getattr(signer, name) == getattr(whole, name), name
    assert signer.key.private_numbers() == whole.key.private_numbers()
    assert signer.issue(Hostname("app.dev.local"), now=NOW, key=new_leaf_key(), serial=new_serial()).usable(NOW)


def test_without_a_ca_loading_with_and_without_the_seal_say_so(tmp_path: Path) -> None:
    with pytest.raises(NoAuthority):
        Keystore(tmp_path / "state").load_signer(NOW)


@pytest.mark.parametrize("seal", ["", "0" * 64])
def test_a_ca_without_its_seal_is_parsed(keystore: Keystore, seal: str) -> None:
    rewrite_pointer(keystore, seal_sha256=seal)
    assert keystore.load_signer(NOW).fingerprint == keystore.load(NOW).fingerprint


def test_a_pointer_of_an_earlier_devtls_knows_no_seal(keystore: Keystore) -> None:
    path = keystore.state_dir / "ca.current"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "seal_sha256"}))
    assert keystore.load_signer(NOW).fingerprint == keystore.load(NOW).fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_as_it_was_breaks_the_seal(keystore: Keystore, name: str) -> None:
    path = directory_of(keystore) / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert open_short(keystore) is None
    assert keystore.load(NOW).fingerprint == keystore.load_signer(NOW).fingerprint if name != "root.crl" else True


@pytest.mark.parametrize("change", [{"facts": {"id": "of another version"}}, {"sha256": {}}])
def test_a_seal_of_another_version_is_no_seal(keystore: Keystore, change: dict[str, object]) -> None:
    path = directory_of(keystore) / "signer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    rewrite_pointer(keystore, seal_sha256=sha256_hex(path.read_bytes()))
    assert open_short(keystore) is None
    assert keystore.load_signer(NOW).fingerprint == keystore.load(NOW).fingerprint


@pytest.mark.parametrize("name", NAMES[:4])
def test_a_damaged_file_is_refused_as_without_the_seal(keystore: Keystore, name: str) -> None:
    (directory_of(keystore) / name).write_bytes(b"junk")
    with pytest.raises(StateError) as long:
        keystore.load(NOW)
    with pytest.raises(StateError) as short:
        keystore.load_signer(NOW)
    assert str(short.value) == str(long.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_missing_breaks_the_seal(keystore: Keystore, name: str) -> None:
    (directory_of(keystore) / name).unlink()
    assert open_short(keystore) is None
    if name != "signer.json":
        with pytest.raises(StateError, match="is missing"):
            keystore.load_signer(NOW)


@pytest.mark.parametrize("name", [*NAMES, ""])
def test_what_others_can_read_is_refused(keystore: Keystore, name: str) -> None:
    (directory_of(keystore) / name).chmod(0o755 if not name else 0o640)
    with pytest.raises(StateError, match="open to other users"):
        keystore.load_signer(NOW)


def test_a_state_directory_that_others_can_read_is_refused(keystore: Keystore) -> None:
    keystore.state_dir.chmod(0o755)
    with pytest.raises(StateError, match="open to other users"):
        keystore.load_signer(NOW)


@pytest.mark.parametrize("now", [NOW - timedelta(days=1), NOW + timedelta(days=4000)])
def test_outside_the_life_of_the_ca_it_is_refused(keystore: Keystore, now: datetime) -> None:
    assert open_short(keystore, now) is None
    with pytest.raises(StateError, match=r"clock says|The CA ended"):
        keystore.load_signer(now)


def reseal(keystore: Keystore, change: Callable[[dict[str, dict[str, object]]], None]) -> None:
    """Change the seal so that only what it says about the files can tell."""
    path = directory_of(keystore) / "signer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    rewrite_pointer(keystore, seal_sha256=sha256_hex(path.read_bytes()))


def test_a_key_of_another_certificate_is_no_pair(keystore: Keystore, tmp_path: Path) -> None:
    other = Keystore(tmp_path / "other")
    other.create(DEFAULT_ZONES, NOW)
    key = (directory_of(other) / "intermediate.key").read_bytes()
    (directory_of(keystore) / "intermediate.key").write_bytes(key)
    reseal(keystore, lambda content: content["sha256"].update({"intermediate.key": sha256_hex(key)}))
    assert open_short(keystore) is None
    with pytest.raises(StateError, match="does not belong to its certificate"):
        keystore.load_signer(NOW)


def test_a_pointer_and_a_seal_of_different_cas_are_refused(keystore: Keystore) -> None:
    rewrite_pointer(keystore, root_sha256="0" * 64)
    with pytest.raises(StateError, match="another CA"):
        keystore.load_signer(NOW)


def test_the_seal_loads_no_x509(keystore: Keystore) -> None:
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from devtls.names import Hostname\n"
        "from devtls.system.machine.randomness import new_leaf_key, new_serial\n"
        "from devtls.system.storage.keystore import Keystore\n"
        "now = datetime(2026, 11, 23, 12, tzinfo=UTC)\n"
        "signer = Keystore(Path(sys.argv[1])).load_signer(now)\n"
        "signer.issue(Hostname('app.test'), now=now, key=new_leaf_key(), serial=new_serial())\n"
        "print([name for name in sys.modules if 'x509' in name or 'serialization.' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(keystore.state_dir)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
