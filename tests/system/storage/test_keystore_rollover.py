"""One CA after the other on disk: prepared, switched to, retired; whole after a crash at each system call."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from devtls.errors import NoAuthority, StateError
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki import locked_key
from devtls.pki.authority import Authority
from devtls.system.storage.generation import plain_key
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import LockedKey, lock
from devtls.system.storage.pointer import Pointer
from devtls.system.storage.seal import open_sealed
from tests.system.storage.power_cut import calls_of, crash
from tests.system.storage.test_keystore_crash import names_in

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    made = Keystore(tmp_path / "state")
    made.create(DEFAULT_ZONES, NOW, pki_port=20001)
    return made


def pointer_of(keystore: Keystore) -> Pointer:
    pointer = keystore.pointer()
    assert pointer is not None
    return pointer


def renew(keystore: Keystore, now: datetime = NOW) -> Authority:
    following = keystore.prepare_next(DEFAULT_ZONES, now)
    keystore.switch_to_next(following)
    return following


def test_what_is_prepared_signs_nothing_until_the_switch(keystore: Keystore) -> None:
    old = keystore.load(NOW)
    following = keystore.prepare_next(DEFAULT_ZONES, NOW)
    assert keystore.load(NOW).fingerprint == keystore.load_signer(NOW).fingerprint == old.fingerprint
    assert following.pki_port == old.pki_port == 20001
    keystore.switch_to_next(following)
    assert keystore.load(NOW).fingerprint == keystore.load_signer(NOW).fingerprint == following.fingerprint
    assert [each.fingerprint for each in keystore.load_older(NOW)] == [old.fingerprint]
    assert keystore.older_roots() == (old.root,)
    keystore.switch_to_next(following)  # a second time it is done already
    assert pointer_of(keystore).older[0].not_after == old.not_after


def test_a_preparation_for_the_same_zones_is_taken_up_again_and_for_others_made_anew(keystore: Keystore) -> None:
    first = keystore.prepare_next(DEFAULT_ZONES, NOW)
    assert keystore.prepare_next(DEFAULT_ZONES, NOW).fingerprint == first.fingerprint
    other = keystore.prepare_next((*DEFAULT_ZONES, Hostname("shop.internal")), NOW)
    assert other.fingerprint != first.fingerprint
    assert not keystore.directory_of(first).exists()
    with pytest.raises(StateError, match="Another renewal"):
        keystore.switch_to_next(first)
    (keystore.directory_of(other) / "root.pem").write_bytes(b"junk")
    assert keystore.prepare_next(other.zones, NOW).fingerprint != other.fingerprint


def test_older_ones_add_up_and_go_when_they_are_retired(keystore: Keystore) -> None:
    first, second, third = keystore.load(NOW), renew(keystore), renew(keystore)
    assert [entry.root_sha256 for entry in pointer_of(keystore).older] == [second.fingerprint, first.fingerprint]
    keystore.retire({first.fingerprint, third.fingerprint})
    assert [entry.root_sha256 for entry in pointer_of(keystore).entries] == [third.fingerprint, second.fingerprint]
    assert names_in(keystore) == {"ca.lock", "ca.current", f"ca-{third.id}", f"ca-{second.id}"}
    keystore.forget()
    assert names_in(keystore) == {"ca.lock"}


def test_an_older_ca_goes_on_signing_its_list_until_it_ends(keystore: Keystore) -> None:
    old = keystore.load(NOW)
    renew(keystore)
    (older,) = keystore.load_older(NOW + timedelta(days=30))
    assert older.fingerprint == old.fingerprint
    assert keystore.next_crl(older, NOW + timedelta(days=30)) != keystore.next_crl(older, NOW + timedelta(days=60))
    assert keystore.load_older(NOW + timedelta(days=3651)) == ()
    assert keystore.older_roots() == (old.root,)
    (keystore.directory_of(old) / "root.pem").unlink()
    assert keystore.load_older(NOW) == keystore.older_roots() == ()


def test_without_a_ca_there_is_nothing_to_renew(tmp_path: Path) -> None:
    empty = Keystore(tmp_path / "empty")
    for act in (empty.load_ended_too, partial(empty.prepare_next, DEFAULT_ZONES, NOW), partial(empty.retire, ())):
        with pytest.raises(NoAuthority):
            act()


def test_one_that_ended_is_still_there_for_whoever_makes_the_next(keystore: Keystore) -> None:
    later = NOW + timedelta(days=4000)
    with pytest.raises(StateError, match="ended") as caught:
        keystore.load(later)
    assert caught.value.hint == "devtls ca renew"
    assert keystore.load_ended_too().zones == DEFAULT_ZONES
    assert renew(keystore, later).fingerprint == keystore.load(later).fingerprint


def test_a_pointer_of_the_first_format_is_read_and_the_next_change_writes_the_present_one(keystore: Keystore) -> None:
    path = keystore.state_dir / "ca.current"
    values = json.loads(path.read_text())
    first = {name: values[name] for name in ("generation", "root_sha256", "pki_port", "seal_sha256")}
    path.write_text(json.dumps({"format": 1, **first}))
    old = keystore.load(NOW)
    assert keystore.load_signer(NOW).fingerprint == old.fingerprint
    renew(keystore)
    assert json.loads(path.read_text())["format"] == 3
    assert pointer_of(keystore).older[0].not_after is None


def test_a_crash_in_the_preparation_leaves_the_old_ca_signing(keystore: Keystore) -> None:
    old, following = keystore.load(NOW), keystore.prepare_next(DEFAULT_ZONES, NOW)
    keystore.retire({following.fingerprint})
    total = calls_of(partial(keystore.prepare_next, DEFAULT_ZONES, NOW))
    assert total > 30
    for stop_at in range(1, total + 1):
        keystore.retire({entry.root_sha256 for entry in pointer_of(keystore).entries[1:]})
        crash(stop_at, partial(keystore.prepare_next, DEFAULT_ZONES, NOW))
        assert keystore.load(NOW).fingerprint == old.fingerprint
        last = keystore.prepare_next(DEFAULT_ZONES, NOW)
        assert names_in(keystore) <= {"ca.lock", "ca.current", "ca.current.new", f"ca-{old.id}", f"ca-{last.id}"}


def test_a_crash_in_the_switch_leaves_the_old_ca_or_the_new_one_and_both_kept(keystore: Keystore) -> None:
    seen = set()
    keystore.prepare_next(DEFAULT_ZONES, NOW)
    stop_at = 1
    while True:
        old, following = keystore.load(NOW), keystore.prepare_next(DEFAULT_ZONES, NOW)
        if stop_at > calls_of_copy(keystore):
            break
        crash(stop_at, partial(keystore.switch_to_next, following))
        found = keystore.load(NOW).fingerprint
        assert found in (old.fingerprint, following.fingerprint)
        seen.add(found == following.fingerprint)
        keystore.switch_to_next(following)
        assert {entry.root_sha256 for entry in pointer_of(keystore).entries} == {old.fingerprint, following.fingerprint}
        keystore.retire({old.fingerprint})
        stop_at += 1
    assert seen == {True, False}


def calls_of_copy(keystore: Keystore) -> int:
    """Return how many system calls a switch takes, tried in another folder."""
    other = Keystore(keystore.state_dir.parent / "counted")
    other.create(DEFAULT_ZONES, NOW)
    following = other.prepare_next(DEFAULT_ZONES, NOW)
    return calls_of(partial(other.switch_to_next, following))


def test_a_crash_while_retiring_keeps_the_present_ca_and_the_next_run_ends_it(keystore: Keystore) -> None:
    def begin() -> tuple[Authority, Callable[[], None]]:
        old = keystore.load(NOW)
        return renew(keystore), partial(keystore.retire, {old.fingerprint})

    _, retire = begin()
    for stop_at in range(1, calls_of(retire) + 1):
        present, retire = begin()
        crash(stop_at, retire)
        assert keystore.load(NOW).fingerprint == present.fingerprint
        retire()
        assert names_in(keystore) == {"ca.lock", "ca.current", f"ca-{present.id}"}


RENEW = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from devtls.names import DEFAULT_ZONES
from devtls.system.storage.keystore import Keystore
keystore = Keystore(Path(sys.argv[1]))
following = keystore.prepare_next(DEFAULT_ZONES, datetime.now(UTC))
keystore.switch_to_next(following)
print(following.fingerprint)
"""


def test_processes_that_renew_together_leave_one_ca_that_signs_and_lose_no_root(keystore: Keystore) -> None:
    first = keystore.fingerprint_on_disk()
    argv = [sys.executable, "-c", RENEW, str(keystore.state_dir)]
    children = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {child.communicate(timeout=30)[0].strip() for child in children}
    kept = [entry.root_sha256 for entry in pointer_of(keystore).entries]
    assert kept[0] in said
    assert set(kept) == {first, *said}


def test_a_crash_while_the_key_is_locked_leaves_it_locked_or_not_and_the_ca_whole(
    keystore: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))
    authority = keystore.load(NOW)
    container = {each.name: lock(each.key, "correct horse") for each in authority.intermediates}
    plain = {each.name: plain_key(each.key) for each in authority.intermediates}
    seen = set()
    for stop_at in range(1, calls_of(partial(keystore.put_keys, authority, container)) + 1):
        keystore.put_keys(authority, plain)
        crash(stop_at, partial(keystore.put_keys, authority, container))
        found = keystore.load(NOW)
        seen.add(isinstance(found.intermediate.key, LockedKey))
        assert found.fingerprint == authority.fingerprint
        assert keystore.load(NOW).signer.identifier == authority.signer.identifier
    assert seen == {True, False}


def test_a_key_is_not_put_into_another_ca(keystore: Keystore) -> None:
    old = keystore.load(NOW)
    renew(keystore)
    with pytest.raises(StateError, match="replaced"):
        keystore.put_keys(old, {"intermediate": b""})


def test_the_sealed_start_is_the_short_one_again_once_the_key_is_unlocked(keystore: Keystore) -> None:
    authority = keystore.load(NOW)
    keystore.put_keys(authority, {"intermediate": plain_key(authority.intermediate.key)})
    entry = pointer_of(keystore).current
    assert open_sealed(keystore.directory_of(authority), entry.seal_sha256, NOW) is not None
