from __future__ import annotations

from dataclasses import replace

import pytest

from devtls.doctor.health.finding import Level
from devtls.doctor.health.service import ServiceFacts, check_services

RUNS = ServiceFacts("systemd service of yours", "devtls service install", "/opt/python", running=True)


@pytest.mark.parametrize(
    ("facts", "name", "level"),
    [
        (RUNS, "service-fine", Level.OK),
        (replace(RUNS, running=False, on_demand=True), "service-fine", Level.OK),
        (replace(RUNS, running=False), "service-stopped", Level.NOTE),
        (replace(RUNS, running=False, trouble="it failed: exit-code"), "service-down", Level.WARNING),
        (replace(RUNS, interpreter_is_there=False), "service-interpreter-gone", Level.TROUBLE),
        (replace(RUNS, config="/x.toml", config_is_there=False), "service-config-gone", Level.TROUBLE),
    ],
)
def test_each_state_is_one_finding(facts: ServiceFacts, name: str, level: Level) -> None:
    (finding,) = check_services([facts])
    assert (finding.id, finding.level, finding.subject) == (name, level, "systemd service of yours")


def test_a_moved_interpreter_is_fixed_by_one_command() -> None:
    (finding,) = check_services([replace(RUNS, interpreter_is_there=False)])
    assert "/opt/python, which is not there any more" in finding.what
    assert (finding.remedy, finding.is_command) == ("devtls service install", True)


def test_none_is_fine() -> None:
    (finding,) = check_services([])
    assert (finding.id, finding.level) == ("service-none", Level.OK)
