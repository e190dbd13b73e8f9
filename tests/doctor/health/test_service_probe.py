from __future__ import annotations

from pathlib import Path

from devtls.doctor.health.service import probe_services
from devtls.system.changes.service.systemd import service_unit
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine


def install(machine: Machine, *argv: str) -> None:
    file = machine.config_home / "systemd/user/devtls.service"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(service_unit(argv, {}))


def test_nothing_is_installed_on_a_new_machine(machine: Machine) -> None:
    assert probe_services(machine, ProcessRunner()) == ()


def test_what_a_unit_names_is_looked_for(machine: Machine, tmp_path: Path) -> None:
    python, config = tmp_path / "my python", tmp_path / "devtls.toml"
    python.write_text("")
    install(machine, str(python), "-m", "devtls", "serve", "--config", str(config))
    (facts,) = probe_services(machine, ProcessRunner())
    assert (facts.interpreter, facts.interpreter_is_there) == (str(python), True)
    assert (facts.config, facts.config_is_there) == (str(config), False)
    python.unlink()
    config.write_text("")
    (facts,) = probe_services(machine, ProcessRunner())
    assert (facts.interpreter_is_there, facts.config_is_there, facts.running) == (False, True, False)


def test_a_unit_that_cannot_be_read_starts_nothing(machine: Machine) -> None:
    install(machine)
    (facts,) = probe_services(machine, ProcessRunner())
    assert (facts.interpreter_is_there, facts.remedy) == (False, "devtls service install")
