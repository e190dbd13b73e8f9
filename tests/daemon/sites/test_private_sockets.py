"""What a machine without Unix sockets says of targets that are one."""

from __future__ import annotations

import sys

import pytest

from devtls.config import parse_config
from devtls.daemon.sites.private_sockets import refuse_unix_targets
from devtls.errors import ConfigError

ROUTES = parse_config(b'[routes]\napp = 3000\nold = "unix:/run/app.sock"\n', source="devtls.toml", directory="/").routes


def test_a_target_that_windows_cannot_reach_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigError, match=r"devtls\.toml:3: routes\.old: Python cannot reach Unix sockets"):
        refuse_unix_targets(ROUTES)
    refuse_unix_targets(ROUTES[:1])


def test_elsewhere_it_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    refuse_unix_targets(ROUTES)
