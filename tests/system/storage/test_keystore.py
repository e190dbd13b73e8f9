from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from devtls.errors import NoAuthority, StateError
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki.revocation import crl_number, load_crl
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.keystore import Keystore

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "state")


def generation(keystore: Keystore) -> Path:
    (directory,) = (path for path in keystore.state_dir.iterdir() if path.is_dir())
    return directory


def test_without_a_ca_the_hint_is_devtls_trust(keystore: Keystore) -> None:
    assert not keystore.exists()
    assert keystore.fingerprint_on_disk() is None
    with pytest.raises(NoAuthority) as caught:
        keystore.load(NOW)
    assert caught.value.hint == "devtls trust"
    assert not keystore.state_dir.exists()


def test_what_was_created_is_what_is_loaded(keystore: Keystore) -> None:
    created = keystore.create(DEFAULT_ZONES, NOW, pki_port=20001)
    loaded = keystore.load(NOW)
    assert keystore.exists()
    assert loaded.root == created.root
    assert loaded.intermediate.certificate == created.intermediate.certificate
    assert loaded.zones == DEFAULT_ZONES
    assert loaded.pki_port == 20001
    assert keystore.fingerprint_on_disk() == created.fingerprint
    assert keystore.directory_of(loaded) == generation(keystore)


def test_a_chosen_port_lies_below_those_of_outgoing_connections_and_is_kept(keystore: Keystore) -> None:
    created = keystore.create(DEFAULT_ZONES, NOW)
    assert 20000 <= created.pki_port < 32768
    assert keystore.load(NOW).pki_port == created.pki_port


def test_without_a_free_port_there_is_an_error(keystore: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken:
        def __init__(self, *args: object) -> None: ...
        def __enter__(self) -> Taken:
            return self

        def __exit__(self, *args: object) -> None: ...
        def bind(self, address: object) -> None:
            raise OSError("in use")

    monkeypatch.setattr("devtls.system.storage.generation.socket.socket", Taken)
    with pytest.raises(StateError, match="No free port"):
        keystore.create(DEFAULT_ZONES, NOW)
    assert not keystore.exists()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o177])
def test_nobody_else_can_read_anything_whatever_the_umask(keystore: Keystore, mask: int) -> None:
    before = os.umask(mask)
    try:
        keystore.create(DEFAULT_ZONES, NOW)
    finally:
        os.umask(before)
    paths = [keystore.state_dir, *keystore.state_dir.rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert len(modes) == 14
    assert modes == {
        path: 0o700 if path.is_dir() else 0o600 & ~(mask if path.name == "ca.lock" else 0) for path in paths
    }


def test_the_roots_key_is_nowhere_on_disk(keystore: Keystore) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    keys = [path for path in keystore.state_dir.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert sorted(keys) == [generation(keystore) / name for name in ("client-intermediate.key", "intermediate.key")]
    assert authority.root.public_key() != authority.intermediate.key.public_key()


def test_a_new_ca_replaces_the_old_one_and_its_files(keystore: Keystore) -> None:
    first = keystore.create(DEFAULT_ZONES, NOW)
    second = keystore.create([Hostname("corp.test")], NOW)
    assert keystore.load(NOW).fingerprint == second.fingerprint != first.fingerprint
    assert keystore.fingerprint_on_disk() == second.fingerprint
    assert generation(keystore).name == f"ca-{second.id}"


def test_load_or_create_makes_one_and_then_keeps_it(keystore: Keystore) -> None:
    first = keystore.load_or_create(DEFAULT_ZONES, NOW)
    assert keystore.load_or_create([Hostname("corp.test")], NOW).fingerprint == first.fingerprint


def test_load_or_create_never_replaces_a_ca_that_cannot_be_used(keystore: Keystore) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    before = keystore.fingerprint_on_disk()
    with pytest.raises(StateError):
        keystore.load_or_create(DEFAULT_ZONES, NOW + timedelta(days=4000))
    assert keystore.fingerprint_on_disk() == before


def test_many_at_once_get_the_same_ca(keystore: Keystore) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(keystore.load_or_create(DEFAULT_ZONES, NOW).fingerprint))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {keystore.fingerprint_on_disk()}


def test_readers_see_a_whole_ca_while_it_is_replaced(keystore: Keystore) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    done = threading.Event()

    def replace() -> None:
        for _ in range(20):
            keystore.create(DEFAULT_ZONES, NOW)
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    loads = 0
    while not done.is_set():
        keystore.load(NOW)
        loads += 1
    writer.join()
    assert loads > 0


def test_a_ca_that_is_replaced_at_each_look_is_not_waited_for_forever(
    keystore: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(*args: object) -> None:
        keystore.create(DEFAULT_ZONES, NOW)
        raise FileNotFoundError(2, "No such file or directory", "root.pem")

    keystore.create(DEFAULT_ZONES, NOW)
    monkeypatch.setattr("devtls.system.storage.generation.Generations.read", replaced)
    with pytest.raises(StateError, match="being replaced"):
        keystore.load(NOW)


def test_forget_deletes_every_key_and_leftover_but_nothing_else(keystore: Keystore) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    (keystore.state_dir / "ca-00000000").mkdir()
    (keystore.state_dir / "ca-00000000" / "intermediate.key").touch()
    (keystore.state_dir / "allowed.json").touch()
    keystore.forget()
    assert {path.name for path in keystore.state_dir.iterdir()} == {"ca.lock", "allowed.json"}
    assert not keystore.exists()
    keystore.forget()


def test_forget_without_a_state_directory_makes_none(keystore: Keystore) -> None:
    keystore.forget()
    assert not keystore.state_dir.exists()


def test_a_link_in_the_place_of_a_leftover_is_removed_not_followed(keystore: Keystore, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    keystore.create(DEFAULT_ZONES, NOW)
    (keystore.state_dir / "ca-00000000").symlink_to(precious)
    keystore.create(DEFAULT_ZONES, NOW)
    assert (precious / "file").exists()
    assert not (keystore.state_dir / "ca-00000000").is_symlink()


def rewrite_pointer(keystore: Keystore, **changes: object) -> None:
    path = keystore.state_dir / "ca.current"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_later_format_is_refused_with_the_hint_to_upgrade(keystore: Keystore) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    rewrite_pointer(keystore, format=4, something="new")
    with pytest.raises(StateError, match="later devtls") as caught:
        keystore.load(NOW)
    assert caught.value.hint == "upgrade devtls"
    with pytest.raises(StateError, match="later devtls"):
        keystore.load_or_create(DEFAULT_ZONES, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"format": "1"},
        {"generation": "../elsewhere"},
        {"generation": 5},
        {"pki_port": 0},
        {"pki_port": "x"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_damaged_pointer_is_named(keystore: Keystore, changes: dict[str, object]) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    rewrite_pointer(keystore, **changes)
    with pytest.raises(StateError, match=r"ca\.current is damaged"):
        keystore.load(NOW)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{", b"\xff"])
def test_a_pointer_that_is_not_ours_is_named(keystore: Keystore, content: bytes) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    (keystore.state_dir / "ca.current").write_bytes(content)
    with pytest.raises(StateError, match=r"ca\.current is damaged"):
        keystore.load(NOW)


@pytest.mark.parametrize("name", ["intermediate.key", "intermediate.pem", "root.pem", "root.crl"])
def test_each_missing_or_damaged_file_is_a_state_error_with_a_hint(keystore: Keystore, name: str) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    path = generation(keystore) / name
    path.write_bytes(b"junk")
    with pytest.raises(StateError, match="damaged") as caught:
        keystore.load(NOW)
    assert caught.value.hint
    path.unlink()
    with pytest.raises(StateError, match=f"{name} is missing") as caught:
        keystore.load(NOW)
    assert caught.value.path == str(path)


def other_key(keystore: Keystore) -> None:
    key = new_leaf_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (generation(keystore) / "intermediate.key").write_bytes(key)


def other_kind(keystore: Keystore) -> None:
    content = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (generation(keystore) / "intermediate.key").write_bytes(content)


def other_ca(keystore: Keystore) -> None:
    pointer = json.loads((keystore.state_dir / "ca.current").read_text())
    rewrite_pointer(keystore, root_sha256=pointer["root_sha256"][::-1])


@pytest.mark.parametrize(
    ("harm", "message"),
    [(other_key, "does not belong"), (other_kind, "another kind"), (other_ca, "another CA")],
)
def test_parts_that_do_not_belong_together_are_refused(
    keystore: Keystore, harm: Callable[[Keystore], None], message: str
) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    harm(keystore)
    with pytest.raises(StateError, match=message) as caught:
        keystore.load(NOW)
    assert caught.value.path


@pytest.mark.parametrize("name", ["ca.current", "ca-*", "ca-*/intermediate.key", "."])
def test_a_mode_that_lets_others_in_is_refused_with_the_command_that_mends_it(keystore: Keystore, name: str) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    (path,) = [keystore.state_dir] if name == "." else keystore.state_dir.glob(name)
    path.chmod(path.stat().st_mode | 0o044)
    with pytest.raises(StateError, match="open to other users") as caught:
        keystore.load(NOW)
    assert caught.value.hint == f"chmod go= {path}"


def test_dates_are_checked_on_load(keystore: Keystore) -> None:
    keystore.create(DEFAULT_ZONES, NOW)
    with pytest.raises(StateError, match="clock"):
        keystore.load(NOW - timedelta(days=1))
    with pytest.raises(StateError, match="ended"):
        keystore.load(NOW + timedelta(days=3651))


def test_a_state_directory_that_cannot_be_made_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    keystore = Keystore(tmp_path / "file" / "state")
    with pytest.raises(StateError, match="cannot be used") as caught:
        keystore.create(DEFAULT_ZONES, NOW)
    assert "DEVTLS_STATE_DIR" in caught.value.hint


def test_a_full_disk_leaves_the_old_ca(keystore: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = keystore.create(DEFAULT_ZONES, NOW)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StateError, match="No space left"):
            keystore.create(DEFAULT_ZONES, NOW)
    assert keystore.load(NOW).fingerprint == first.fingerprint


def test_an_unreadable_place_is_a_state_error(keystore: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(StateError, match="Permission denied"):
        keystore.exists()


def test_the_list_is_kept_for_half_of_its_life_and_then_gets_the_next_number(keystore: Keystore) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    first = keystore.next_crl(authority, NOW + timedelta(days=3))
    assert crl_number(load_crl(first)) == 1
    later = NOW + timedelta(days=4)
    second = Keystore(keystore.state_dir).next_crl(keystore.load(later), later)
    assert crl_number(load_crl(second)) == 2
    assert load_crl(second).last_update_utc == later
    assert keystore.next_crl(authority, later) == second


def test_revoked_entries_are_carried_over(keystore: Keystore) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    entry = x509.RevokedCertificateBuilder().serial_number(77).revocation_date(NOW).build()
    path = generation(keystore) / "intermediate.crl"
    path.write_bytes(authority.intermediate_crl(number=5, this_update=NOW, revoked=[entry]))
    crl = load_crl(keystore.next_crl(authority, NOW + timedelta(days=30)))
    assert crl_number(crl) == 6
    assert [revoked.serial_number for revoked in crl] == [77]


@pytest.mark.parametrize("loss", ["missing", "junk", "foreign"])
def test_a_lost_list_is_replaced_under_a_number_above_all_before(keystore: Keystore, loss: str) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    path = generation(keystore) / "intermediate.crl"
    match loss:
        case "missing":
            path.unlink()
        case "junk":
            path.write_bytes(b"junk")
        case _:
            path.write_bytes(authority.root_crl_der)
    number = crl_number(load_crl(keystore.next_crl(authority, NOW)))
    assert number == int(NOW.timestamp())
    assert crl_number(load_crl(keystore.next_crl(authority, NOW + timedelta(days=5)))) == number + 1


def test_the_list_of_a_replaced_ca_is_not_signed_again(keystore: Keystore) -> None:
    old = keystore.create(DEFAULT_ZONES, NOW)
    keystore.create(DEFAULT_ZONES, NOW)
    with pytest.raises(StateError, match="replaced"):
        keystore.next_crl(old, NOW)


def test_numbers_never_repeat_between_threads(keystore: Keystore) -> None:
    authority = keystore.create(DEFAULT_ZONES, NOW)
    numbers: list[int] = []

    def sign(days: int) -> None:
        numbers.append(crl_number(load_crl(keystore.next_crl(authority, NOW + timedelta(days=days)))))

    threads = [threading.Thread(target=sign, args=(10 * (index + 1),)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == 6


def test_leaf_keys_are_p256_and_serials_are_long_and_random() -> None:
    assert isinstance(new_leaf_key().curve, ec.SECP256R1)
    serials = {new_serial() for _ in range(100)}
    assert len(serials) == 100
    assert all(0 < serial < 2**159 for serial in serials)
    assert max(serials).bit_length() > 140
