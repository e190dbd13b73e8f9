from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtls.errors import StateError
from devtls.system.changes.record import ChangeRecord, Installed

ENTRY = Installed("nss:~/db", "ab" * 32, "1a2b3c4d")
OTHER = Installed("system", "ab" * 32, "1a2b3c4d")


def test_what_was_installed_is_remembered_until_it_was_removed(tmp_path: Path) -> None:
    record = ChangeRecord(tmp_path / "state")
    assert not record.exists()
    assert record.entries() == ()
    record.add(ENTRY)
    record.add(ENTRY)
    record.add(OTHER)
    assert ChangeRecord(tmp_path / "state").entries() == (ENTRY, OTHER)
    record.drop("system", ["cd" * 32])
    assert len(record.entries()) == 2
    record.drop("system", ["ab" * 32])
    assert record.entries() == (ENTRY,)
    assert record.path.stat().st_mode & 0o777 == 0o600


def test_it_can_say_that_nothing_is_installed(tmp_path: Path) -> None:
    record = ChangeRecord(tmp_path / "state")
    record.begin()
    assert (record.exists(), record.entries()) == (True, ())
    record.add(ENTRY)
    record.begin()
    assert record.entries() == (ENTRY,)


def test_a_newer_format_is_refused_with_the_next_step(tmp_path: Path) -> None:
    record = ChangeRecord(tmp_path)
    record.path.write_text(json.dumps({"format": 2, "installed": []}))
    with pytest.raises(StateError, match="newer devtls") as caught:
        record.entries()
    assert caught.value.hint == "Upgrade devtls."


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": "x"}', b"\xff", b"null"])
def test_a_damaged_record_is_an_error_not_an_empty_one(tmp_path: Path, content: bytes) -> None:
    record = ChangeRecord(tmp_path)
    record.path.write_bytes(content)
    with pytest.raises(StateError, match="cannot be read"):
        record.entries()


def test_a_state_directory_that_cannot_be_holds_no_record(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    assert ChangeRecord(tmp_path / "taken" / "state").entries() == ()
