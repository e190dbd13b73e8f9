"""After the CA is forgotten: nothing is left but what somebody needs."""

from __future__ import annotations

from pathlib import Path

from devtls.system.leftovers import clear_state
from devtls.system.truststore.record import Installed, Record


def test_files_that_say_nothing_go_and_the_folder_with_them(tmp_path: Path) -> None:
    state = tmp_path / "devtls"
    record, entry = Record(state), Installed("system", "ab" * 32, "12345678")
    record.add(entry)
    record.drop("system", [entry.fingerprint])
    for name in ("ca.lock", "allowed.lock"):
        (state / name).touch()
    (state / "run").mkdir()
    assert clear_state(state) == ()
    assert not state.exists()
    assert clear_state(state) == ()


def test_what_stays_is_named_with_its_reason(tmp_path: Path) -> None:
    Record(tmp_path).add(Installed("system", "ab" * 32, "12345678"))
    (tmp_path / "run" / "serve-1").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    assert clear_state(tmp_path) == (
        "notes.txt",
        "run (a devtls that is still running)",
        "trusted.json (a store may still hold the root)",
    )
