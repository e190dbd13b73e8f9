from __future__ import annotations

from pathlib import Path

import pytest

from devtls.system.changes.resolver.discovery import find_changes, names_in_block
from devtls.system.changes.resolver.drop_in import MARK
from devtls.system.changes.resolver.hosts_block import write_block
from devtls.system.changes.resolver.lookups import Lookups, read_lookups
from devtls.system.machine.execute import NotFinished, StepFailure
from devtls.system.machine.machine import Machine
from tests.system.changes.resolver.conftest import WrittenRunner

STUB = "nameserver 127.0.0.53\noptions edns0\n"


class Debian:
    """A machine of files, and a systemd that says what the test wrote down."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.runner = WrittenRunner()

    def write(self, path: str, text: str) -> None:
        file = self.machine.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def runs(self, *units: str, version: str = "systemd 252 (252.39-1~deb12u1)\n+PAM") -> None:
        self.write("usr/bin/systemctl", "#!/bin/sh\n")
        (self.machine.root / "usr/bin/systemctl").chmod(0o755)
        known = ("systemd-resolved", "NetworkManager", "dnsmasq")
        words = "".join("active\n" if unit in units else "inactive\n" for unit in known)
        self.runner.said = {"systemctl is-active": words.encode(), "systemctl --version": version.encode()}

    def ways(self, *asked: str, recorded: tuple[str, ...] = ()) -> list[str]:
        changes = find_changes(self.machine, self.runner, methods=asked, recorded=recorded)
        return [change.name.partition(":")[2] for change in changes]

    def lookups(self) -> Lookups:
        return read_lookups(self.machine, self.runner)


@pytest.fixture
def debian(machine: Machine) -> Debian:
    return Debian(machine)


def test_a_machine_without_a_resolver_of_its_own_has_its_hosts_file(debian: Debian) -> None:
    debian.write("etc/resolv.conf", "# made by hand\nnameserver 192.0.2.53\nnameserver\nsearch corp.example\n")
    debian.write("etc/nsswitch.conf", "passwd: files\nhosts:   files mdns4_minimal [NOTFOUND=return] dns # x\n")
    assert debian.ways() == ["hosts"]
    found = debian.lookups()
    assert (found.sources, found.nameservers) == (("files", "mdns4_minimal", "dns"), ("192.0.2.53",))
    assert debian.runner.calls == []  # there is no systemctl


def test_delegates_are_the_method_of_a_new_systemd(debian: Debian) -> None:
    debian.write("etc/resolv.conf", STUB)
    debian.runs("systemd-resolved", version="systemd 258 (258.1-1)\n")
    assert debian.ways() == ["hosts", "delegate"]
    assert debian.lookups().against_drop_in() == "its delegates do it better"


def test_an_older_one_has_its_drop_in_for_those_who_ask(debian: Debian) -> None:
    debian.write("etc/nsswitch.conf", "hosts: files resolve [!UNAVAIL=return] dns\n")
    debian.runs("systemd-resolved")
    assert debian.ways() == ["hosts"]
    assert debian.ways("resolved") == ["hosts", "resolved"]
    assert debian.ways(recorded=("names:resolved",)) == ["hosts", "resolved"]
    assert debian.lookups().against_drop_in() == ""
    assert "252 has no delegates" in debian.lookups().against_delegate()


def test_servers_of_the_administrator_stand_against_the_drop_in(debian: Debian) -> None:
    debian.write("etc/resolv.conf", STUB)
    debian.write("etc/systemd/resolved.conf", "[Resolve]\n#DNS=\nDNS=\nFallbackDNS=192.0.2.1\n")
    debian.write("etc/systemd/resolved.conf.d/devtls.conf", f"{MARK}\n[Resolve]\nDNS=127.0.0.1:15353\n")
    debian.runs("systemd-resolved")
    assert debian.lookups().against_drop_in() == ""
    debian.write("run/systemd/resolved.conf.d/vpn.conf", "[Resolve]\nDNS = 192.0.2.53\n")
    assert "/run/systemd/resolved.conf.d/vpn.conf names other servers" in debian.lookups().against_drop_in()


def test_a_file_of_ours_is_found_without_a_record(debian: Debian) -> None:
    debian.write("etc/systemd/resolved.conf.d/devtls.conf", "# somebody else's\n")
    assert debian.ways() == ["hosts"]
    debian.write("etc/systemd/resolved.conf.d/devtls.conf", f"{MARK}\n[Resolve]\n")
    assert debian.ways() == ["hosts", "resolved"]


@pytest.mark.parametrize(
    ("lookups", "why"),
    [
        (Lookups(), "systemd-resolved does not run"),
        (Lookups(active=frozenset({"systemd-resolved.service"}), systemd=250), "do not ask systemd-resolved"),
        (
            Lookups(("resolve",), active=frozenset({"systemd-resolved.service"}), systemd=245),
            "systemd 245 knows no servers with a port",
        ),
    ],
)
def test_a_way_that_is_asked_for_in_vain_says_why(lookups: Lookups, why: str) -> None:
    assert why in lookups.against_drop_in()
    assert lookups.against_delegate()


def test_dnsmasq_of_network_manager_is_found_in_its_settings(debian: Debian) -> None:
    debian.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
    debian.write("etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=ifupdown\n[ifupdown]\ndns=none\n")
    debian.runs("NetworkManager")
    assert debian.ways() == ["hosts"]
    debian.write("usr/lib/NetworkManager/conf.d/10-dns.conf", "[main]\ndns = dnsmasq\n")
    assert debian.ways() == ["hosts", "networkmanager"]
    debian.write("etc/NetworkManager/conf.d/00-dns.conf", "# mine\n[main]\ndns=default\n")
    assert debian.ways() == ["hosts"]
    debian.write("etc/NetworkManager/conf.d/10-dns.conf", "[main]\ndns=dnsmasq\n")
    assert debian.ways() == ["hosts", "networkmanager"]
    debian.write("etc/resolv.conf", "nameserver 192.0.2.53\n")
    assert debian.ways() == ["hosts"]
    assert debian.lookups().against_network_manager() == "programs on this machine do not ask dnsmasq"


def test_a_file_in_etc_hides_one_of_its_name(debian: Debian) -> None:
    debian.write("usr/lib/NetworkManager/conf.d/10-dns.conf", "[main]\ndns=dnsmasq\n")
    debian.write("etc/NetworkManager/conf.d/10-dns.conf", "")
    assert debian.lookups().nm_dns == ""


@pytest.mark.parametrize(
    ("path", "line", "reads"),
    [
        ("etc/dnsmasq.conf", "conf-dir=/etc/dnsmasq.d/,*.conf", True),
        ("etc/dnsmasq.conf", "conf-dir=/etc/dnsmasq.d", True),
        ("etc/dnsmasq.conf", "#conf-dir=/etc/dnsmasq.d", False),
        ("etc/dnsmasq.conf", "conf-dir=/etc/dnsmasq.d-other", False),
        ("etc/default/dnsmasq", "CONFIG_DIR=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new", True),
        ("etc/default/dnsmasq", 'CONFIG_DIR="/etc/dnsmasq.d"', True),
    ],
)
def test_a_dnsmasq_of_its_own_must_read_the_directory(debian: Debian, path: str, line: str, reads: bool) -> None:
    debian.write("etc/resolv.conf", "nameserver ::1\n")
    debian.write(path, line + "\n")
    debian.runs("dnsmasq")
    assert debian.ways() == ["hosts"]  # there is no directory
    (debian.machine.root / "etc/dnsmasq.d").mkdir()
    assert debian.ways() == (["hosts", "dnsmasq"] if reads else ["hosts"])


def test_a_stub_of_resolved_is_no_dnsmasq(debian: Debian) -> None:
    debian.write("etc/resolv.conf", STUB)
    debian.write("etc/dnsmasq.conf", "conf-dir=/etc/dnsmasq.d\n")
    (debian.machine.root / "etc/dnsmasq.d").mkdir()
    debian.runs("dnsmasq")
    assert debian.ways() == ["hosts"]
    assert debian.ways("dnsmasq") == ["hosts", "dnsmasq"]


def test_a_systemd_that_cannot_be_asked_is_none(debian: Debian) -> None:
    debian.runs("systemd-resolved")
    silent = NotFinished(StepFailure.TIMED_OUT, "it did not end")
    debian.runner.said = {"systemctl is-active": silent, "systemctl --version": silent}
    assert (debian.lookups().active, debian.lookups().systemd) == (frozenset(), 0)
    debian.runner.said = {"systemctl is-active": b"", "systemctl --version": b"something else"}
    assert (debian.lookups().active, debian.lookups().systemd) == (frozenset(), 0)


def test_settings_that_are_no_text_are_read_all_the_same(debian: Debian, machine: Machine) -> None:
    (machine.root / "etc/resolv.conf").write_bytes(b"\xff\xfe\nnameserver 127.0.0.1\n")
    assert debian.lookups().nameservers == ("127.0.0.1",)
    (machine.root / "etc/nsswitch.conf").mkdir()
    assert debian.lookups().sources == ()


@pytest.mark.parametrize(
    ("platform", "asked", "expected"),
    [
        ("darwin", (), ["names:hosts", "names:resolver"]),
        ("win32", (), ["names:hosts"]),
        ("win32", ("nrpt",), ["names:hosts", "names:nrpt"]),
        ("freebsd14", (), ["names:hosts"]),
    ],
)
def test_other_systems_have_their_own(
    tmp_path: Path, platform: str, asked: tuple[str, ...], expected: list[str]
) -> None:
    machine = Machine.redirected(tmp_path, tmp_path, {}, platform=platform)
    assert [change.name for change in find_changes(machine, WrittenRunner(), methods=asked)] == expected


def test_the_names_of_an_earlier_setup_are_read_from_the_block(debian: Debian) -> None:
    assert names_in_block(debian.machine) == frozenset()
    debian.write("etc/hosts", write_block(b"127.0.0.1 localhost\n", ["app.test"]).decode())
    assert names_in_block(debian.machine) == {"app.test"}
    debian.write("etc/hosts", "# devtls end\n")
    assert names_in_block(debian.machine) == frozenset()
