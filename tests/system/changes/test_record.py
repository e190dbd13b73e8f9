"""The record of applied changes: what it keeps, what it refuses, and the two files of format 1 that it takes over."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devtls.errors import StateError
from devtls.system.changes.change import Part
from devtls.system.changes.record import AppliedChange, ChangeRecord, Installed
from tests.system.storage.power_cut import calls_of, crash

OLD_SHA, SHA = "cd" * 32, "ab" * 32
HOSTS = AppliedChange(Part.NAMES, "names:hosts", {"mode": "0644"})
SYSCTL = AppliedChange(Part.PORTS, "ports:sysctl", {"value": "1024"})
SYSTEM = AppliedChange(Part.TRUST, "system", {SHA: "1a2b3c4d"})
NSS = AppliedChange(Part.TRUST, "nss:~/db", {SHA: "1a2b3c4d", OLD_SHA: "deadbeef"})

TRUSTED = {
    "format": 1,
    "installed": [
        {"store": "nss:~/db", "fingerprint": SHA, "id": "1a2b3c4d"},
        {"store": "system", "fingerprint": SHA, "id": "1a2b3c4d"},
        {"store": "nss:~/db", "fingerprint": OLD_SHA, "id": "deadbeef"},
    ],
}
SETUP = {
    "format": 1,
    "hostnames": ["app.test"],
    "measures": [
        {"name": "names:hosts", "keepsake": {"mode": "0644"}},
        {"name": "ports:sysctl", "keepsake": {"value": "1024"}},
    ],
}


@pytest.fixture
def record(tmp_path: Path) -> ChangeRecord:
    return ChangeRecord(tmp_path / "state")


def old_files(directory: Path, trusted: object = TRUSTED, setup: object = SETUP) -> ChangeRecord:
    directory.mkdir(exist_ok=True)
    for name, content in (("trusted.json", trusted), ("setup.json", setup)):
        if content is not None:
            (directory / name).write_text(json.dumps(content))
    return ChangeRecord(directory)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix == ".json")


def test_what_was_applied_is_remembered_until_it_is_reverted(record: ChangeRecord) -> None:
    assert record.entries() == ()
    record.add(HOSTS)
    record.add(SYSCTL)
    record.add(SYSTEM)
    assert ChangeRecord(record.directory).entries() == (HOSTS, SYSCTL, SYSTEM)
    assert record.entries(Part.PORTS, Part.TRUST) == (SYSCTL, SYSTEM)
    record.drop(Part.NAMES, "names:hosts")
    record.drop(Part.NAMES, "names:hosts")
    record.drop(Part.NAMES, "ports:sysctl")
    assert record.entries() == (SYSCTL, SYSTEM)
    assert (record.path.stat().st_mode & 0o777, record.directory.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_first_previous_state_stays(record: ChangeRecord) -> None:
    record.add(SYSCTL)
    record.add(AppliedChange(Part.PORTS, "ports:sysctl", {"value": "80", "more": "1"}))
    assert record.previous_state_of(Part.PORTS, "ports:sysctl") == {"value": "1024"}
    assert record.previous_state_of(Part.PORTS, "ports:nft") is None


def test_a_store_keeps_every_root_until_that_root_is_out(record: ChangeRecord) -> None:
    record.add(AppliedChange(Part.TRUST, "nss:~/db", {SHA: "1a2b3c4d"}))
    record.add(AppliedChange(Part.TRUST, "nss:~/db", {OLD_SHA: "deadbeef"}))
    record.add(SYSTEM)
    assert record.installed() == (
        Installed("nss:~/db", SHA, "1a2b3c4d"),
        Installed("nss:~/db", OLD_SHA, "deadbeef"),
        Installed("system", SHA, "1a2b3c4d"),
    )
    record.drop(Part.TRUST, "nss:~/db", ["ee" * 32])
    assert len(record.installed()) == 3
    record.drop(Part.TRUST, "nss:~/db", [SHA])
    assert record.entries()[0].previous_state == {OLD_SHA: "deadbeef"}
    record.drop(Part.TRUST, "nss:~/db", [OLD_SHA])
    assert record.entries() == (SYSTEM,)


def test_it_can_say_that_no_store_holds_a_root(record: ChangeRecord) -> None:
    assert not record.knows_roots()
    record.add(HOSTS)
    assert not record.knows_roots()
    record.begin_trust()
    assert (record.knows_roots(), record.installed()) == (True, ())
    record.add(SYSTEM)
    record.begin_trust()
    assert record.installed() == (Installed("system", SHA, "1a2b3c4d"),)
    record.path.write_text("{")
    assert record.knows_roots()


def test_names_are_remembered_beside_the_changes(record: ChangeRecord) -> None:
    record.add(HOSTS)
    record.remember_hostnames(["b.test", "a.test", "b.test"])
    record.add(SYSCTL)
    record.drop(Part.NAMES, "names:hosts")
    assert record.hostnames() == ("a.test", "b.test")
    record.remember_hostnames([])
    assert (record.hostnames(), record.entries()) == ((), (SYSCTL,))


def test_nothing_is_written_for_nothing(record: ChangeRecord) -> None:
    record.drop(Part.NAMES, "names:hosts")
    record.remember_hostnames([])
    assert not record.directory.exists()
    record.add(HOSTS)
    before = record.path.stat().st_ino
    record.add(HOSTS)
    assert record.path.stat().st_ino == before


def test_two_writers_at_once_lose_no_entry(record: ChangeRecord) -> None:
    def write(numbers: Iterable[int]) -> None:
        for number in numbers:
            record.add(AppliedChange(Part.TRUST, f"nss:{number}", {SHA: "1a2b3c4d"}))

    threads = [threading.Thread(target=write, args=(range(start, 40, 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.name for entry in record.entries()} == {f"nss:{number}" for number in range(40)}


def test_a_newer_format_is_refused_with_the_next_step(record: ChangeRecord) -> None:
    record.directory.mkdir()
    record.path.write_text(json.dumps({"format": 3, "changes": [], "hostnames": [], "knows_roots": False}))
    for act in (record.entries, lambda: record.add(HOSTS)):
        with pytest.raises(StateError, match=r"changes\.json was written by a newer devtls") as caught:
            act()
        assert caught.value.hint == "Upgrade devtls."


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"format": "x"}',
        b'{"format": 2}',
        b'{"format": 2, "changes": [{"name": "x"}], "hostnames": [], "knows_roots": true}',
        b'{"format": 2, "changes": [{"part": "x", "name": "x", "previous_state": {}}], "hostnames": []}',
        b'{"format": 2, "changes": [{"part": "names", "name": "x", "previous_state": {"a": 1}}], "hostnames": []}',
        b'{"format": 2, "changes": [{"part": "names", "name": "x", "previous_state": []}], "hostnames": []}',
        b'{"format": 2, "changes": [], "hostnames": [1], "knows_roots": true}',
        b'{"format": 2, "changes": [], "hostnames": ["a b.test"], "knows_roots": true}',
        b'{"format": 2, "changes": [], "hostnames": []}',
    ],
)
def test_a_damaged_record_is_an_error_not_an_empty_one(record: ChangeRecord, content: bytes) -> None:
    record.directory.mkdir()
    record.path.write_bytes(content)
    with pytest.raises(StateError, match="cannot be read") as caught:
        record.entries()
    assert "devtls untrust and devtls unsetup" in caught.value.hint
    with pytest.raises(StateError):
        record.add(HOSTS)
    assert record.path.read_bytes() == content


def test_a_directory_that_cannot_be_holds_nothing_and_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    record = ChangeRecord(tmp_path / "taken" / "state")
    assert record.entries() == ()
    with pytest.raises(StateError, match="cannot be written"):
        record.add(HOSTS)


@pytest.mark.parametrize(
    ("trusted", "setup", "entries", "hostnames"),
    [
        (TRUSTED, SETUP, (NSS, SYSTEM, HOSTS, SYSCTL), ("app.test",)),
        (TRUSTED, None, (NSS, SYSTEM), ()),
        (None, SETUP, (HOSTS, SYSCTL), ("app.test",)),
    ],
)
def test_the_files_of_an_older_devtls_are_taken_over(
    tmp_path: Path, trusted: object, setup: object, entries: tuple[AppliedChange, ...], hostnames: tuple[str, ...]
) -> None:
    record = old_files(tmp_path, trusted, setup)
    before = names(tmp_path)
    assert (record.entries(), record.hostnames()) == (entries, hostnames)
    assert record.knows_roots() is (trusted is not None)
    assert names(tmp_path) == before, "reading changes nothing"
    nft = AppliedChange(Part.PORTS, "ports:nft", {})
    record.add(nft)
    assert names(tmp_path) == ["changes.json"]
    assert (record.entries(), record.hostnames()) == ((*entries, nft), hostnames)
    assert record.knows_roots() is (trusted is not None)


def test_a_write_that_changes_nothing_takes_the_old_files_over_too(tmp_path: Path) -> None:
    record = old_files(tmp_path)
    record.drop(Part.PORTS, "ports:nft")
    assert names(tmp_path) == ["changes.json"]
    assert record.entries() == (NSS, SYSTEM, HOSTS, SYSCTL)


def test_an_empty_old_file_still_says_that_trust_was_reverted(tmp_path: Path) -> None:
    record = old_files(tmp_path, {"format": 1, "installed": []}, None)
    assert record.knows_roots()
    record.remember_hostnames(["app.test"])
    assert (record.knows_roots(), names(tmp_path)) == (True, ["changes.json"])


def test_old_files_beside_a_new_one_add_what_it_lacks(tmp_path: Path) -> None:
    record = ChangeRecord(tmp_path)
    record.add(AppliedChange(Part.TRUST, "system", {OLD_SHA: "deadbeef"}))
    record.add(AppliedChange(Part.PORTS, "ports:sysctl", {"value": "22"}))
    record.remember_hostnames(["api.test"])
    old_files(tmp_path)
    assert record.previous_state_of(Part.TRUST, "system") == {OLD_SHA: "deadbeef", SHA: "1a2b3c4d"}
    assert record.previous_state_of(Part.PORTS, "ports:sysctl") == {"value": "22"}
    assert record.previous_state_of(Part.NAMES, "names:hosts") == {"mode": "0644"}
    assert record.hostnames() == ("api.test", "app.test")


def test_a_name_without_a_part_is_kept_with_the_names(tmp_path: Path) -> None:
    setup = {"format": 1, "hostnames": [], "measures": [{"name": "telepathy:x", "keepsake": {}}]}
    assert old_files(tmp_path, None, setup).entries() == (AppliedChange(Part.NAMES, "telepathy:x", {}),)


@pytest.mark.parametrize("name", ["trusted.json", "setup.json"])
def test_an_old_file_of_a_newer_format_is_refused(tmp_path: Path, name: str) -> None:
    newer: dict[str, Any] = {"format": 2, "installed": [], "measures": [], "hostnames": []}
    (tmp_path / name).write_text(json.dumps(newer))
    with pytest.raises(StateError, match=f"{name} was written by a newer devtls"):
        ChangeRecord(tmp_path).entries()


@pytest.mark.parametrize(
    ("name", "hint"), [("trusted.json", "run devtls untrust"), ("setup.json", "run devtls unsetup")]
)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"format": 1}', b'{"format": "x"}'])
def test_a_damaged_old_file_gives_its_own_error(tmp_path: Path, name: str, hint: str, content: bytes) -> None:
    record = old_files(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StateError, match=f"{name} cannot be read") as caught:
        record.entries()
    assert hint in caught.value.hint
    with pytest.raises(StateError):
        record.add(HOSTS)
    assert names(tmp_path) == ["setup.json", "trusted.json"]


def test_a_crash_at_any_call_of_the_takeover_loses_nothing(tmp_path: Path) -> None:
    def take_over(directory: Path) -> None:
        ChangeRecord(directory).remember_hostnames(["app.test"])

    old_files(tmp_path / "counted")
    calls = calls_of(lambda: take_over(tmp_path / "counted"))
    assert names(tmp_path / "counted") == ["changes.json"]
    assert calls > 5
    for stop_at in range(1, calls + 1):
        directory = tmp_path / f"cut-{stop_at}"
        record = old_files(directory)
        crash(stop_at, partial(take_over, directory))
        kept = frozenset((each.part, each.name, *each.previous_state) for each in record.entries())
        assert kept == frozenset((each.part, each.name, *each.previous_state) for each in (NSS, SYSTEM, HOSTS, SYSCTL))
        assert (record.hostnames(), record.knows_roots()) == (("app.test",), True)
        record.add(AppliedChange(Part.PORTS, "ports:nft", {}))
        assert names(directory) == ["changes.json"]
        assert len(record.entries()) == 5


def test_whoever_reads_during_the_takeover_finds_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = old_files(tmp_path)
    seen: list[int] = []
    read_text = Path.read_text

    def reading(path: Path, *args: Any, **options: Any) -> str:
        text = read_text(path, *args, **options)
        if path.name == "trusted.json" and not seen:  # the writer goes on right after the reader's first look
            seen.append(1)
            ChangeRecord(tmp_path).remember_hostnames(["app.test"])
        return text

    monkeypatch.setattr(Path, "read_text", reading)
    assert len(record.entries()) == 4
    monkeypatch.undo()
    assert names(tmp_path) == ["changes.json"]
    assert len(record.entries()) == 4
