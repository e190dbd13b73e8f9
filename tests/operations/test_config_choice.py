"""Which file a command works on, and how its name is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.operations.config_choice import chosen_file, display_path, wants_ocsp
from devtls.system.machine.paths import Paths


def test_named_own_or_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, here = Paths.from_environment(), home / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert chosen_file(paths, Path("x.toml"), False).path == here / "x.toml"
    assert chosen_file(paths, None, True).path == paths.config_dir / "devtls.toml"
    assert chosen_file(paths, None, False).path == here / "devtls.toml"
    assert not wants_ocsp(paths)
    (home / "a" / "devtls.toml").write_text("[ca]\nocsp = true\n")
    assert chosen_file(paths, None, False).path == home / "a" / "devtls.toml"
    assert wants_ocsp(paths)


def test_a_path_is_shown_as_a_person_says_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "a").mkdir()
    monkeypatch.chdir(home / "a")
    assert display_path(home / "a" / "devtls.toml") == "devtls.toml"
    assert display_path(home / "devtls.toml") == "~/devtls.toml"
    assert display_path(Path("/srv/devtls.toml")) == "/srv/devtls.toml"
