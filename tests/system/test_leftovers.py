"""After the CA is forgotten: nothing is left but what somebody needs."""

from __future__ import annotations

from pathlib import Path

from devtls.system.changes.change import Part
from devtls.system.changes.record import AppliedChange, ChangeRecord
from devtls.system.leftovers import clear_state, remove_state

ENTRY = AppliedChange(Part.TRUST, "system", {"ab" * 32: "12345678"})


def test_files_that_say_nothing_go_and_the_directory_with_them(tmp_path: Path) -> None:
    state = tmp_path / "devtls"
    record = ChangeRecord(state)
    record.add(ENTRY)
    record.drop(Part.TRUST, "system", ["ab" * 32])
    for name in ("ca.lock", "allowed.lock"):
        (state / name).touch()
    (state / "run").mkdir()
    assert clear_state(state) == ()
    assert not state.exists()
    assert clear_state(state) == ()


def test_what_stays_is_named_with_its_reason(tmp_path: Path) -> None:
    ChangeRecord(tmp_path).add(ENTRY)
    (tmp_path / "run" / "serve-1").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    assert clear_state(tmp_path) == (
        "changes.json (a store may still hold the root)",
        "notes.txt",
        "run (a devtls that is still running)",
    )


def test_a_record_of_setup_stays_while_it_says_something_or_cannot_be_read(tmp_path: Path) -> None:
    setup = ChangeRecord(tmp_path / "devtls")
    setup.add(AppliedChange(Part.NAMES, "names:hosts", {}))
    assert clear_state(setup.directory) == ("changes.json (devtls unsetup reverts the changes that it names)",)
    setup.path.write_text("{")
    (left,) = clear_state(setup.directory)
    assert "a store may still hold the root; devtls unsetup" in left
    (setup.directory / "setup.json").write_text("{")
    assert len(clear_state(setup.directory)) == 2
    (setup.directory / "setup.json").unlink()
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
