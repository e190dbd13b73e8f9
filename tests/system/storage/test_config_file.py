"""Replacing a file that a person keeps: in one step, as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devtls.errors import ConfigError
from devtls.system.storage.config_file import replace_config_file


def test_a_new_file_has_the_usual_mode_and_directories_are_made(tmp_path: Path) -> None:
    file = tmp_path / "config/devtls.toml"
    replace_config_file(file, b"[routes]\n", before=None)
    assert file.read_bytes() == b"[routes]\n"
    umask = os.umask(0)
    os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask
    assert list(file.parent.iterdir()) == [file]


def test_mode_and_link_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "devtls.toml"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_config_file(link, b"new", before=b"old")
    assert link.is_symlink()
    assert (real.read_bytes(), real.stat().st_mode & 0o777) == (b"new", 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away: needs root")
def test_the_owner_stays(tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_bytes(b"old")
    file.chmod(0o604)
    os.chown(file, 65534, 65534)
    replace_config_file(file, b"new", before=b"old")
    status = file.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65534, 65534, 0o604)


@pytest.mark.parametrize(("now", "before"), [(b"other", b"old"), (b"made meanwhile", None)])
def test_what_changed_meanwhile_is_not_written_over(tmp_path: Path, now: bytes, before: bytes | None) -> None:
    file = tmp_path / "devtls.toml"
    file.write_bytes(now)
    with pytest.raises(ConfigError, match="changed meanwhile"):
        replace_config_file(file, b"new", before=before)
    assert file.read_bytes() == now


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        replace_config_file(tmp_path / "file/devtls.toml", b"", before=None)
    assert caught.value.hint.startswith("ls -ld ")


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "devtls.toml"
    file.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        replace_config_file(file, b"new", before=b"old")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
