"""After the CA is forgotten: nothing is left but what somebody needs."""

from __future__ import annotations

from pathlib import Path

from devtls.system.changes.record import ChangeRecord, Installed
from devtls.system.storage.leftovers import clear_state, remove_state


def test_files_that_say_nothing_go_and_the_directory_with_them(tmp_path: Path) -> None:
    state = tmp_path / "devtls"
    record, entry = ChangeRecord(state), Installed("system", "ab" * 32, "12345678")
    record.add(entry)
    record.drop("system", [entry.fingerprint])
    for name in ("ca.lock", "allowed.lock"):
        (state / name).touch()
    (state / "run").mkdir()
    assert clear_state(state) == ()
    assert not state.exists()
    assert clear_state(state) == ()


def test_what_stays_is_named_with_its_reason(tmp_path: Path) -> None:
    ChangeRecord(tmp_path).add(Installed("system", "ab" * 32, "12345678"))
    (tmp_path / "run" / "serve-1").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    assert clear_state(tmp_path) == (
        "notes.txt",
        "run (a devtls that is still running)",
        "trusted.json (a store may still hold the root)",
    )


def test_a_record_of_setup_stays_while_it_says_something_or_cannot_be_read(tmp_path: Path) -> None:
    setup = ChangeRecord(tmp_path / "devtls")
    setup.add("names:hosts", {})
    assert clear_state(setup.directory) == ("setup.json (devtls unsetup takes back what it names)",)
    setup.path.write_text("{")
    assert len(clear_state(setup.directory)) == 1
    setup.path.unlink()
    setup.remember_hostnames(["app.test"])
    assert clear_state(setup.directory) == ()
    assert not setup.directory.exists()


def test_what_goes_with_the_program_goes_too(tmp_path: Path) -> None:
    state, runtime = tmp_path / "devtls", tmp_path / "run" / "devtls"
    runtime.mkdir(parents=True)
    state.mkdir()
    for name in ("allowed.json", "allowed.lock", "config.lock", "ca.lock"):
        (state / name).touch()
    assert "allowed.json (what devtls allow remembers)" in clear_state(state)
    assert remove_state(state, runtime) == ()
    assert not state.exists()
    assert not runtime.exists()
    assert remove_state(state, runtime) == ()
