"""Proxy settings that name the port of the PAC file, and who could answer there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devtls.doctor.health.finding import Level
from devtls.doctor.health.proxy_settings import PacPortFacts, check_proxy_settings, probe_proxy_settings
from devtls.system.machine.execute import Finished, NotFinished
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run

URL = "http://127.0.0.1:15354/proxy.pac"
FACTS = PacPortFacts(15354, ("Firefox",))
HELD = dataclasses.replace(FACTS, held=True)


@pytest.mark.parametrize(
    ("facts", "name", "level", "word"),
    [
        (FACTS, "pac-port-free", Level.WARNING, "any user of this machine may"),
        (dataclasses.replace(FACTS, is_open=True, holder="devtls (process 3)"), "pac-port-not-held", Level.NOTE, ""),
        (dataclasses.replace(FACTS, is_open=True), "pac-port-not-held", Level.NOTE, "while devtls is down"),
        (dataclasses.replace(FACTS, is_open=True, holder="a program of eve"), "pac-port-taken", Level.TROUBLE, "eve"),
        (HELD, "pac-port-held", Level.OK, "a service holds that port"),
        (dataclasses.replace(HELD, is_open=True, holder="systemd (process 1)"), "pac-port-held", Level.OK, ""),
        (dataclasses.replace(HELD, is_open=True, holder="a program of eve"), "pac-port-taken", Level.TROUBLE, "stop"),
    ],
)
def test_who_could_answer_is_the_verdict(facts: PacPortFacts, name: str, level: Level, word: str) -> None:
    (finding,) = check_proxy_settings((facts,))
    assert (finding.id, finding.level, finding.subject) == (name, level, "15354")
    assert finding.what.startswith("Firefox asks port 15354 where to go")
    assert word in finding.what + finding.remedy
    assert (finding.remedy == "") is (level is Level.OK)


def test_nobody_is_told_of_a_setting_that_is_not_there() -> None:
    assert list(check_proxy_settings(())) == []


class Runs:
    """Answers every program with the same text."""

    def __init__(self, text: str = "", code: int = 0) -> None:
        self.text = text
        self.code = code
        self.asked: list[tuple[str, ...]] = []

    def run(self, run: Run) -> Finished | NotFinished:
        self.asked.append(run.argv)
        return Finished(self.code, self.text.encode())


def machine_at(tmp_path: Path, platform: str = "linux") -> Machine:
    root, home = tmp_path / "system", tmp_path / "home"
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    return dataclasses.replace(Machine.redirected(root, home, {}), platform=platform)


def profile(machine: Machine, prefs: str, user: str = "") -> None:
    directory = machine.home / ".mozilla/firefox/x.default"
    directory.mkdir(parents=True)
    (directory / "cert9.db").touch()
    (directory / "prefs.js").write_text(prefs)
    if user:
        (directory / "user.js").write_text(user)


@pytest.mark.parametrize(
    ("prefs", "found"),
    [
        (f'user_pref("network.proxy.type", 2);\nuser_pref("network.proxy.autoconfig_url", "{URL}");\n', True),
        (f'user_pref("network.proxy.type", 5);\nuser_pref("network.proxy.autoconfig_url", "{URL}");\n', False),
        ('user_pref("network.proxy.type", 2);\nuser_pref("network.proxy.autoconfig_url", "data:,x");\n', False),
        ("", False),
    ],
)
def test_firefox_is_read(tmp_path: Path, prefs: str, found: bool) -> None:
    machine = machine_at(tmp_path)
    profile(machine, prefs)
    facts = probe_proxy_settings(machine, Runs(), {})
    assert [(each.port, each.settings) for each in facts] == ([(15354, ("Firefox",))] if found else [])


@pytest.mark.parametrize(
    ("platform", "text", "name"),
    [
        ("darwin", f"<dictionary> {{\n  ProxyAutoConfigEnable : 1\n  ProxyAutoConfigURLString : {URL}\n}}", "macOS"),
        ("win32", f"    AutoConfigURL    REG_SZ    {URL}\r\n", "Windows"),
        ("linux", f"org.gnome.system.proxy autoconfig-url '{URL}'\norg.gnome.system.proxy mode 'auto'\n", "GNOME"),
        ("linux", f"org.gnome.system.proxy autoconfig-url '{URL}'\norg.gnome.system.proxy mode 'none'\n", ""),
    ],
)
def test_the_systems_setting_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, text: str, name: str
) -> None:
    machine = machine_at(tmp_path, platform)
    monkeypatch.setattr(Machine, "user_tool", lambda self, *names: Path("/usr/bin/gsettings"))
    runner = Runs(text)
    facts = probe_proxy_settings(machine, runner, {})
    assert [each.settings for each in facts] == ([(name,)] if name else [])
    assert len(runner.asked) == 1
    assert probe_proxy_settings(machine, Runs(text, 1), {}) == ()


def test_a_variable_and_an_installed_socket_are_seen(tmp_path: Path) -> None:
    machine = machine_at(tmp_path)
    variables = {"https_proxy": "http://127.0.0.1:15354", "http_proxy": "http://proxy.example.com:15354"}
    (facts,) = probe_proxy_settings(machine, Runs(), variables)
    assert (facts.settings, facts.held) == (("the variable https_proxy",), False)
    unit = machine.config_home / "systemd/user/devtls-pac.socket"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Socket]\nListenStream=127.0.0.1:15354\n")
    assert probe_proxy_settings(machine, Runs(), variables)[0].held
