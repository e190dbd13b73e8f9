"""Which file a command works on, and how its name is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.errors import ConfigError
from devtls.operations.config_choice import chosen_file, display_path, report_mistake, wants_ocsp
from devtls.system.machine.paths import Paths
from tests.operations.recording import RecordingReporter


def test_named_own_or_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, here = Paths.from_environment(), home / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert chosen_file(paths, Path("x.toml"), False).path == here / "x.toml"
    assert chosen_file(paths, None, True).path == paths.config_dir / "devtls.toml"
    assert chosen_file(paths, None, False).path == here / "devtls.toml"
    reporter = RecordingReporter()
    assert not wants_ocsp(paths, reporter)
    (home / "a" / "devtls.toml").write_text("[ca]\nocsp = true\n")
    assert chosen_file(paths, None, False).path == home / "a" / "devtls.toml"
    assert wants_ocsp(paths, reporter)
    report_mistake(paths, reporter)
    assert reporter.calls == []


@pytest.mark.parametrize(
    ("content", "ocsp"),
    [
        ('[routes]\n"no name!" = 3000\n', False),
        ('[routes]\n"no name!" = 3000\n[ca]\nocsp = true\n', True),
        ("[serve]\nhttps_port = 0.5\n[ca]\nocsp = true\n", True),
        ("[ca]\nocsp = true\nwhat\n", False),
        ("\ufeff[ca]\nocsp = true\n", False),
        ("ca = 1", None),
        ('[ca]\nocsp = "yes"\n', None),
        ('[routes]\n"no name!" = 3000\n[ca]\nocps = true\n', None),
    ],
)
def test_a_mistake_stops_only_the_command_that_needs_what_is_wrong(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: str, ocsp: bool | None
) -> None:
    paths, file, reporter = Paths.from_environment(), home / "devtls.toml", RecordingReporter()
    monkeypatch.chdir(home)
    file.write_text(content, "utf-8")
    report_mistake(paths, reporter)
    if ocsp is None:
        with pytest.raises(ConfigError) as caught:
            wants_ocsp(paths, reporter)
        assert caught.value.key.startswith("ca")
    else:
        assert wants_ocsp(paths, reporter) is ocsp
        assert len(reporter.calls) == 2
    for warning in reporter.of("warning"):
        assert warning.startswith(f"{file}")
        assert warning.endswith(". This command goes on without it.")
        assert "\n" not in warning
    assert set(reporter.hints) == {""}


def test_a_path_is_shown_as_a_person_says_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "a").mkdir()
    monkeypatch.chdir(home / "a")
    assert display_path(home / "a" / "devtls.toml") == "devtls.toml"
    assert display_path(home / "devtls.toml") == "~/devtls.toml"
    assert display_path(Path("/srv/devtls.toml")) == "/srv/devtls.toml"
