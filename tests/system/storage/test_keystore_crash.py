"""A crash at every system call of every write leaves the old CA or the new one, and nothing that stays."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from devtls.errors import NoAuthority
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.pki.revocation import crl_number, load_crl
from devtls.system.storage.keystore import Keystore
from tests.system.storage.power_cut import Machine, calls_of, crash

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def load(keystore: Keystore) -> Authority | None:
    try:
        return keystore.load(NOW)
    except NoAuthority:
        return None


def names_in(keystore: Keystore) -> set[str]:
    return {path.name for path in keystore.state_dir.iterdir()}


def test_the_first_create_leaves_no_ca_or_a_whole_one(tmp_path: Path) -> None:
    total = calls_of(lambda: Keystore(tmp_path / "count").create(DEFAULT_ZONES, NOW, pki_port=20001))
    assert total > 30
    seen = set()
    for stop_at in range(1, total + 1):
        keystore = Keystore(tmp_path / str(stop_at))
        crash(stop_at, partial(keystore.create, DEFAULT_ZONES, NOW, pki_port=20001))
        found = load(keystore)
        seen.add(found is None)
        authority = keystore.load_or_create(DEFAULT_ZONES, NOW)
        assert found is None or found.fingerprint == authority.fingerprint
    assert seen == {True, False}


def test_a_replacement_leaves_the_old_ca_or_the_new_one(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "state")
    keystore.create(DEFAULT_ZONES, NOW, pki_port=20001)
    total = calls_of(lambda: keystore.create(DEFAULT_ZONES, NOW, pki_port=20001))
    seen = set()
    for stop_at in range(1, total + 1):
        old = keystore.load(NOW)
        crash(stop_at, lambda: keystore.create(DEFAULT_ZONES, NOW, pki_port=20002))
        found = keystore.load(NOW)
        replaced = found.fingerprint != old.fingerprint
        assert found.pki_port == (20002 if replaced else 20001)
        seen.add(replaced)
        last = keystore.create(DEFAULT_ZONES, NOW, pki_port=20001)
        assert names_in(keystore) == {"ca.lock", "ca.current", f"ca-{last.id}"}
    assert seen == {True, False}


def test_forgetting_leaves_the_ca_or_none_and_a_second_time_ends_it(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "state")
    keystore.create(DEFAULT_ZONES, NOW)
    total = calls_of(keystore.forget)
    for stop_at in range(1, total + 1):
        old = keystore.create(DEFAULT_ZONES, NOW)
        crash(stop_at, keystore.forget)
        found = load(keystore)
        assert found is None or found.fingerprint == old.fingerprint
        keystore.forget()
        assert names_in(keystore) == {"ca.lock"}


def test_signing_a_list_leaves_the_old_list_or_the_new_one(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "state")
    authority = keystore.create(DEFAULT_ZONES, NOW)
    day = NOW + timedelta(days=10)
    total = calls_of(lambda: keystore.next_crl(authority, day))
    number = crl_number(load_crl(keystore.next_crl(authority, day)))
    for stop_at in range(1, total + 1):
        day += timedelta(days=10)
        crash(stop_at, partial(keystore.next_crl, authority, day))
        following = crl_number(load_crl(keystore.next_crl(authority, day)))
        assert following == number + 1
        number = following


def test_everything_is_on_disk_before_the_pointer_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keystore = Keystore(tmp_path / "state")
    with monkeypatch.context() as patch:
        machine = Machine(patch)
        authority = keystore.create(DEFAULT_ZONES, NOW)
    switch = next(index for index, (name, _) in enumerate(machine.trace) if name in ("replace", "rename"))
    synced = {where for name, where in machine.trace[:switch] if name == "fsync"}
    directory = keystore.directory_of(authority)
    files = {str(path) for path in directory.iterdir()}
    assert synced >= files | {str(directory), str(keystore.state_dir), str(keystore.state_dir / "ca.current.new")}
    assert ("fsync", str(keystore.state_dir)) in machine.trace[switch:]


def test_the_key_is_written_before_the_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        machine = Machine(patch)
        Keystore(tmp_path / "state").create(DEFAULT_ZONES, NOW)
    written = [Path(where).name for name, where in machine.trace if name == "write"]
    assert written[0] == "intermediate.key"
    assert written[-1] == "ca.current.new"


ENDLESS_CREATE = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from devtls.names import DEFAULT_ZONES
from devtls.system.storage.keystore import Keystore
from tests.system.storage.power_cut import Machine, calls_of, crash
keystore = Keystore(Path(sys.argv[1]))
while True:
    keystore.create(DEFAULT_ZONES, datetime.now(UTC))
    print(flush=True)
"""


def test_a_killed_process_leaves_a_whole_ca_and_no_lock(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "state")
    for delay_s in (0.0, 0.003, 0.011):
        child = subprocess.Popen([sys.executable, "-c", ENDLESS_CREATE, keystore.state_dir], stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child, child.stdout:
            child.stdout.readline()
            time.sleep(delay_s)
            child.send_signal(signal.SIGKILL)
        found = keystore.load(datetime.now(UTC))
        assert keystore.load_or_create(DEFAULT_ZONES, datetime.now(UTC)).fingerprint == found.fingerprint


LOAD_OR_CREATE = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from devtls.names import DEFAULT_ZONES
from devtls.system.storage.keystore import Keystore
from tests.system.storage.power_cut import Machine, calls_of, crash
print(Keystore(Path(sys.argv[1])).load_or_create(DEFAULT_ZONES, datetime.now(UTC)).fingerprint)
"""


def test_processes_that_start_together_get_the_same_ca(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", LOAD_OR_CREATE, str(tmp_path / "state")]
    children = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    fingerprints = {child.communicate(timeout=90)[0].strip() for child in children}
    assert fingerprints == {Keystore(tmp_path / "state").fingerprint_on_disk()}
