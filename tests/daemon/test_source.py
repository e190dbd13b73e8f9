"""What was asked for, read again each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.config import TcpTarget, parse_route_argument
from devtls.daemon.source import Source
from devtls.errors import ConfigError, NotAllowed
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import Found, named_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "devtls.toml"
    path.write_text('[serve]\nhttps_port = 9443\nlog_format = "json"\n[routes]\napp = 3000\nold = 1\n')
    return path


def test_flags_and_arguments_win_over_the_file(file: Path) -> None:
    arguments = (parse_route_argument("app=4000"), parse_route_argument("new=5"))
    merged = Source(Paths.from_environment(), named_config(file), arguments, {"https_port": 0}).read()
    assert [route.key for route in merged.config.routes] == ["old", "app", "new"]
    assert merged.overridden == ("app",)
    assert (merged.config.serve.https_port, merged.config.serve.log_format) == (0, "json")


def test_without_a_file_the_arguments_are_everything() -> None:
    merged = Source(Paths.from_environment(), None, (parse_route_argument("app=1"),)).read()
    assert len(merged.config.routes) == 1


def test_a_found_file_needs_permission_for_more(file: Path) -> None:
    file.write_text('[routes]\nsock = "unix:/run/app.sock"\n')
    with pytest.raises(NotAllowed):
        Source(Paths.from_environment(), Found(file, explicit=False)).read()
    assert Source(Paths.from_environment(), Found(file, explicit=True)).read().config.routes


def test_our_own_sockets_are_never_behind_a_route() -> None:
    paths = Paths.from_environment()
    argument = parse_route_argument(f"own=unix:{paths.runtime_dir}/control.sock")
    with pytest.raises(ConfigError, match="devtls's own"):
        Source(paths, None, (argument,)).read()


def test_temporary_routes_win_over_file_and_arguments(file: Path) -> None:
    arguments, lent = (parse_route_argument("new=5"),), (parse_route_argument("new=6"), parse_route_argument("old=7"))
    merged = Source(Paths.from_environment(), named_config(file), arguments, {}, lent).read()
    ports = {route.key: route.target.port for route in merged.config.routes if isinstance(route.target, TcpTarget)}
    assert ports == {"app": 3000, "new": 6, "old": 7}
    assert merged.overridden == ()
