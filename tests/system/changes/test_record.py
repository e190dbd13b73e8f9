from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtls.errors import StateError
from devtls.system.changes.record import ChangeRecord, Taken


def test_what_was_taken_is_remembered_until_it_is_gone(tmp_path: Path) -> None:
    record = ChangeRecord(tmp_path / "state")
    assert record.entries() == ()
    record.add("names:hosts", {"mode": "0644"})
    record.add("ports:sysctl", {})
    assert ChangeRecord(tmp_path / "state").entries() == (
        Taken("names:hosts", {"mode": "0644"}),
        Taken("ports:sysctl", {}),
    )
    record.drop("names:hosts")
    record.drop("names:hosts")
    assert record.entries() == (Taken("ports:sysctl", {}),)
    assert (record.path.stat().st_mode & 0o777, record.directory.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_first_keepsake_stays(tmp_path: Path) -> None:
    record = ChangeRecord(tmp_path)
    record.add("ports:sysctl", {"before": "1024"})
    record.add("ports:sysctl", {"before": "80"})
    assert record.previous_state_of("ports:sysctl") == {"before": "1024"}
    assert record.previous_state_of("ports:nft") is None


def test_names_are_remembered_beside_the_measures(tmp_path: Path) -> None:
    record = ChangeRecord(tmp_path)
    record.add("names:hosts", {})
    record.remember_hostnames(["b.test", "a.test", "b.test"])
    record.add("ports:sysctl", {})
    record.drop("names:hosts")
    assert record.hostnames() == ("a.test", "b.test")
    record.remember_hostnames([])
    assert (record.hostnames(), record.entries()) == ((), (Taken("ports:sysctl", {}),))


def test_a_newer_format_is_refused_with_the_next_step(tmp_path: Path) -> None:
    record = ChangeRecord(tmp_path)
    record.path.write_text(json.dumps({"format": 2, "measures": [], "hostnames": []}))
    with pytest.raises(StateError, match="newer devtls") as caught:
        record.entries()
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
        b'{"format": 1}',
        b'{"format": 1, "measures": [{"name": "x"}], "hostnames": []}',
        b'{"format": 1, "measures": [{"name": "x", "keepsake": {"a": 1}}], "hostnames": []}',
        b'{"format": 1, "measures": [{"name": "x", "keepsake": []}], "hostnames": []}',
        b'{"format": 1, "measures": [], "hostnames": [1]}',
        b'{"format": 1, "measures": [], "hostnames": ["a b.test"]}',
    ],
)
def test_a_damaged_record_is_an_error_not_an_empty_one(tmp_path: Path, content: bytes) -> None:
    record = ChangeRecord(tmp_path)
    record.path.write_bytes(content)
    with pytest.raises(StateError, match="cannot be read") as caught:
        record.entries()
    assert "devtls unsetup" in caught.value.hint
    with pytest.raises(StateError):
        record.add("names:hosts", {})
    assert record.path.read_bytes() == content


def test_a_directory_that_cannot_be_holds_nothing_and_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    record = ChangeRecord(tmp_path / "taken" / "state")
    assert record.entries() == ()
    with pytest.raises(StateError, match="cannot be written"):
        record.add("names:hosts", {})
