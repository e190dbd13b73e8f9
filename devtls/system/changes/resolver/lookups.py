"""The resolver of a Linux machine: the programs that answer look-ups, as far as files and systemd tell.

Owns reading nsswitch.conf, resolv.conf, NetworkManager's and dnsmasq's settings, and the verdict on which of the
resolvers that can send single zones elsewhere is really in use: installed is not enough. Changes nothing, above all not
/etc/resolv.conf. Where no such resolver is in use, the hosts file is the only way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devtls.system.changes.resolver.resolved import FIRST_DELEGATES, FIRST_PORTS
from devtls.system.machine.execute import Finished, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run

# systemd-resolved's stub, and its proxy-only stub (systemd-resolved.service(8)).
_STUBS = ("127.0.0.53", "127.0.0.54")
_UNITS = ("systemd-resolved.service", "NetworkManager.service", "dnsmasq.service")
_SYSTEMCTL_S = 5.0
# The lowest first: a name in a later one hides it (NetworkManager.conf(5)).
_NM_DIRECTORIES = ("usr/lib/NetworkManager/conf.d", "run/NetworkManager/conf.d", "etc/NetworkManager/conf.d")
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Lookups:
    """`sources` is the line `hosts:` of nsswitch.conf, `nameservers` those of resolv.conf, `active` the units that run.

    `systemd` is its version (0 = none), `global_dns` the file in which systemd-resolved has servers for everything,
    `nm_dns` NetworkManager's setting `dns`; `reads_directory` = dnsmasq reads /etc/dnsmasq.d.
    """

    sources: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    active: frozenset[str] = frozenset()
    systemd: int = 0
    global_dns: str = ""
    nm_dns: str = ""
    reads_directory: bool = False

    def against_delegate(self) -> str:
        """Return the obstacle to systemd-resolved's delegates ("" = none)."""
        return self._against_resolved() or (
            f"systemd {self.systemd} has no delegates, they came with {FIRST_DELEGATES}"
            if self.systemd < FIRST_DELEGATES
            else ""
        )

    def against_drop_in(self) -> str:
        """Return the obstacle to systemd-resolved's drop-in."""
        if reason := self._against_resolved():
            return reason
        if self.systemd < FIRST_PORTS:
            return f"systemd {self.systemd} knows no servers with a port, they came with {FIRST_PORTS}"
        if self.systemd >= FIRST_DELEGATES:
            return "its delegates do it better"
        # All global servers are one scope: the next is only asked when one fails (resolved.conf(5)).
        other = f"{self.global_dns} names other servers, and systemd-resolved asks one of all at a time"
        return other if self.global_dns else ""

    def _against_resolved(self) -> str:
        if _UNITS[0] not in self.active:
            return "systemd-resolved does not run"
        # nss-resolve asks it without resolv.conf; everybody else finds its stub there.
        asked = "resolve" in self.sources or any(each in _STUBS for each in self.nameservers)
        return "" if asked else "programs on this machine do not ask systemd-resolved"

    def against_network_manager(self) -> str:
        """Return the obstacle to NetworkManager's dnsmasq."""
        if _UNITS[1] not in self.active or self.nm_dns != "dnsmasq":
            return "NetworkManager does not run dnsmasq"
        return self._against_local_server()

    def against_dnsmasq(self) -> str:
        """Return the obstacle to a dnsmasq of its own."""
        if _UNITS[2] not in self.active:
            return "dnsmasq does not run"
        return self._against_local_server() or ("" if self.reads_directory else "dnsmasq does not read /etc/dnsmasq.d")

    def _against_local_server(self) -> str:
        local = any(each == "::1" or (each.startswith("127.") and each not in _STUBS) for each in self.nameservers)
        return "" if local else "programs on this machine do not ask dnsmasq"


def read_lookups(machine: Machine, runner: Runner) -> Lookups:
    """Read the files, and ask systemd which version it is and what runs."""
    etc = machine.root / "etc"
    systemctl = machine.system_tool("systemctl")
    return Lookups(
        sources=_sources(_lines(etc / "nsswitch.conf")),
        nameservers=tuple(
            words[1]
            for line in _lines(etc / "resolv.conf")
            if (words := line.split())[:1] == ["nameserver"] and words[1:]
        ),
        active=frozenset() if systemctl is None else _active(systemctl, runner),
        systemd=0 if systemctl is None else _version(systemctl, runner),
        global_dns=_global_dns(machine.root),
        nm_dns=_nm_dns(machine.root),
        reads_directory=_reads_directory(etc),
    )


def _active(systemctl: Path, runner: Runner) -> frozenset[str]:
    ended = runner.run(Run((str(systemctl), "is-active", *_UNITS), timeout_s=_SYSTEMCTL_S))
    words = ended.stdout.decode("utf-8", "replace").split() if isinstance(ended, Finished) else []
    # One word for each unit; fewer mean that there is no systemd to ask.
    return frozenset(unit for unit, word in zip(_UNITS, words, strict=False) if word in {"active", "reloading"})


def _version(systemctl: Path, runner: Runner) -> int:
    ended = runner.run(Run((str(systemctl), "--version"), timeout_s=_SYSTEMCTL_S))
    version = re.match(rb"systemd (\d{1,6})", ended.stdout) if isinstance(ended, Finished) else None
    return int(version[1]) if version else 0


def _sources(lines: Iterable[str]) -> tuple[str, ...]:
    for line in lines:
        name, _, rest = line.partition(":")
        if name.strip() == "hosts":
            # Actions such as [!UNAVAIL=return] stand between the sources (nsswitch.conf(5)).
            return tuple(re.sub(r"\[[^]]*\]", " ", rest).split())
    return ()


def _global_dns(root: Path) -> str:
    """Return the first file but ours that gives systemd-resolved a server."""
    files = [root / "etc/systemd/resolved.conf"]
    for directory in ("etc", "run", "usr/lib"):
        files.extend(sorted((root / directory / "systemd/resolved.conf.d").glob("*.conf")))
    for path in files:
        if path.name != "devtls.conf" and any(re.match(r"DNS\s*=\s*\S", line) for line in _lines(path)):
            return f"/{path.relative_to(root)}"
    return ""


def _nm_dns(root: Path) -> str:
    """Return the setting `dns` of the section `main`; the last file that has it counts (NetworkManager.conf(5))."""
    found = ""
    for path in _nm_files(root):
        section = ""
        for line in _lines(path):
            if header := re.fullmatch(r"\[(.*)\]", line):
                section = header[1]
            elif section == "main" and (setting := re.fullmatch(r"dns\s*=\s*(\S*)", line)):
                found = setting[1]
    return found


def _nm_files(root: Path) -> Iterator[Path]:
    """Yield its files in the order in which it reads them; a name in a later directory hides its like."""
    found: dict[str, Path] = {}
    for directory in _NM_DIRECTORIES:
        try:
            found |= {path.name: path for path in (root / directory).iterdir() if path.suffix == ".conf"}
        except OSError:
            continue
    of_admin = {name for name, path in found.items() if path.is_relative_to(root / "etc")}
    yield from (found[name] for name in sorted(found.keys() - of_admin))
    yield root / "etc/NetworkManager/NetworkManager.conf"
    yield from (found[name] for name in sorted(of_admin))


def _reads_directory(etc: Path) -> bool:
    """Whether dnsmasq.conf names the directory, or Debian's way of starting it does."""
    if not (etc / "dnsmasq.d").is_dir():
        return False
    settings = (*_lines(etc / "dnsmasq.conf"), *_lines(etc / "default/dnsmasq"))
    return any(re.match(r"(conf-dir\s*=\s*|CONFIG_DIR=\"?)/etc/dnsmasq\.d/?(,|\"|\s|\Z)", line) for line in settings)


def _lines(path: Path) -> tuple[str, ...]:
    """Return a file's lines without comments; none of a file that cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ()
    stripped = (line.strip() for line in text.splitlines())
    return tuple(line.partition(" #")[0].strip() for line in stripped if line and line[0] not in "#;")
