"""Proxy settings that name the port of the PAC file: who could answer there while devtls does not.

Owns the places of the settings (Firefox's profiles, the desktop's, the system's, this shell's variables) and the
verdict on the port. A browser asks that port for a script which decides where all of its traffic goes; it is above
1023, so any user may listen there when nobody does. Refuses to look at other settings than those that name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devtls.doctor.health.finding import Finding, Level, Section, listed
from devtls.system.changes.service.systemd import PAC_SOCKET
from devtls.system.changes.truststore.nss_profiles import find_firefox_profiles
from devtls.system.machine.execute import Finished, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run
from devtls.system.machine.port_holder import find_holder, is_listened_to

_ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})/proxy\.pac")
_PROXY = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})/?\Z")
_FIREFOX_URL = re.compile(r'^user_pref\("network\.proxy\.autoconfig_url", *"([^"]*)"\);', re.MULTILINE)
_FIREFOX_MODE = re.compile(r'^user_pref\("network\.proxy\.type", *2\);', re.MULTILINE)
_ASK_S = 3.0
_VARIABLES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY")
_WINDOWS_KEY = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Internet Settings"
_OURSELVES = "devtls "
_SYSTEMD = "systemd "


@dataclass(frozen=True, slots=True)
class PacPortFacts:
    """A port that proxy settings name: the `settings`, as a person knows them, and who has it.

    `held` = a service of ours keeps it open also while devtls is down; `holder` listens now ("" = nobody, or unknown
    where `is_open`).
    """

    port: int
    settings: tuple[str, ...]
    held: bool = False
    is_open: bool = False
    holder: str = ""


def check_proxy_settings(found: tuple[PacPortFacts, ...]) -> Iterator[Finding]:
    """Yield a finding for each port; nothing for who has no such setting."""
    for facts in found:
        asks = f"{listed(facts.settings)} {'asks' if len(facts.settings) == 1 else 'ask'} port {facts.port}"
        ours = facts.holder.startswith((_OURSELVES, *([_SYSTEMD] if facts.held else [])))
        if facts.is_open and not ours and facts.holder:
            yield _finding(
                facts, "pac-port-taken", Level.TROUBLE, f"{asks} where to go, and {facts.holder} listens there.",
                f"Take that address out of the proxy settings of {listed(facts.settings)}, or stop the other program.",
            )  # fmt: skip
        elif facts.held:
            what = f"{asks} where to go; a service holds that port, also while devtls is down."
            yield Finding("pac-port-held", Section.BROWSERS, Level.OK, what, subject=str(facts.port))
        elif facts.is_open:
            what = f"{asks} where to go, and no service holds that port while devtls is down."
            yield _finding(facts, "pac-port-not-held", Level.NOTE, what, "devtls service install")
        else:
            what = f"{asks} where to go, and nobody listens there: any user of this machine may."
            yield _finding(facts, "pac-port-free", Level.WARNING, what, "devtls service install")


def _finding(facts: PacPortFacts, name: str, level: Level, what: str, remedy: str) -> Finding:
    why = "Who listens there decides where all traffic of that browser goes, and reads what is not encrypted."
    return Finding(name, Section.BROWSERS, level, what, why, remedy, subject=str(facts.port))


def probe_proxy_settings(machine: Machine, runner: Runner, environ: Mapping[str, str]) -> tuple[PacPortFacts, ...]:
    """Return the ports of PAC files that settings name."""
    by_port: dict[int, list[str]] = {}
    for name, port in _settings(machine, runner, environ):
        if name not in (names := by_port.setdefault(port, [])):
            names.append(name)
    held = _is_held(machine)
    return tuple(
        PacPortFacts(
            port,
            tuple(names),
            held=port in held,
            is_open=is_listened_to(port, proc=machine.root / "proc"),
            holder=find_holder(port, proc=machine.root / "proc").words,
        )
        for port, names in sorted(by_port.items())
    )


def _settings(machine: Machine, runner: Runner, environ: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for place in find_firefox_profiles(machine):
        # user.js is copied over prefs.js at each start.
        text = "".join(_read(place.directory / name) for name in ("prefs.js", "user.js"))
        if _FIREFOX_MODE.search(text):
            yield from _ports("Firefox", *_FIREFOX_URL.findall(text)[-1:])
    for name in _VARIABLES:
        if found := _PROXY.fullmatch(environ.get(name, "")):
            yield f"the variable {name}", int(found[1])
    label, argv = _asking(machine)
    if argv:
        ended = runner.run(Run(argv, timeout_s=_ASK_S))
        if isinstance(ended, Finished) and ended.code == 0:
            yield from _ports(label, ended.stdout.decode("utf-8", "replace"))


def _asking(machine: Machine) -> tuple[str, tuple[str, ...]]:
    """Return the name of the system's setting, and the command that prints it; () for none."""
    match machine.platform:
        case "darwin":
            return "macOS", ("/usr/sbin/scutil", "--proxy")
        case "win32":
            return "Windows", ("reg.exe", "query", _WINDOWS_KEY, "/v", "AutoConfigURL")
        case _:
            tool = machine.user_tool("gsettings")
            return "GNOME", (str(tool), "list-recursively", "org.gnome.system.proxy") if tool else ()


def _ports(name: str, *texts: str) -> Iterator[tuple[str, int]]:
    for text in texts:
        # GNOME keeps the address while the mode is another one.
        if "org.gnome.system.proxy mode" in text and "org.gnome.system.proxy mode 'auto'" not in text:
            continue
        for port in _ADDRESS.findall(text):
            yield name, int(port)


def _is_held(machine: Machine) -> set[int]:
    """Return the ports of installed sockets for the PAC file."""
    units = [machine.config_home / "systemd/user" / PAC_SOCKET, machine.root / "etc/systemd/system" / PAC_SOCKET]
    held = {int(port) for unit in units for port in re.findall(r"^ListenStream=.*:(\d+)$", _read(unit), re.MULTILINE)}
    agent = _read(machine.home / "Library/LaunchAgents/devtls.serve.plist").partition("<key>pac</key>")[2]
    return held | {int(port) for port in re.findall(r"<string>(\d{4,5})</string>", agent)}


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
