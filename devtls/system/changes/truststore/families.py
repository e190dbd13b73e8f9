"""The families of Unix systems as a table: where an anchor goes, what refreshes the bundle, which package has which
tool.

Owns knowledge, no behaviour beyond choosing a row. Sources: platform guide A.1 and A.2. Strategy for choosing: a
family counts as present when its anchor directory *and* its refresh tool exist (a directory alone misleads in toolbox
containers); when several do, os-release decides; when none does, os-release names the family so that the remedy can
name the package.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Refresh:
    """One way to rebuild the bundle: the tool's name and its arguments after adding and after removing an anchor."""

    tool: str
    after_adding: tuple[str, ...] = ()
    after_removing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """One row: `bundles` are what the refresh writes, files or directories of files; the first one there counts.

    `nss_package` and `ca_package` are the commands that install certutil and the refresh tool; `java_keystores` are
    what the refresh writes for Java, `java_hooks` the scripts that do it where the refresh alone does not; `p11_kit` =
    the anchors are read by p11-kit, which can be asked about them; `writer` as in WriteFile.
    """

    name: str
    os_ids: tuple[str, ...]
    anchor_directory: str
    suffix: str
    refreshes: tuple[Refresh, ...]
    bundles: tuple[str, ...]
    ca_package: str
    nss_package: str
    java_keystores: tuple[str, ...] = ()
    java_hooks: tuple[str, ...] = ()
    p11_kit: bool = False
    writer: Literal["install", "tee"] = "install"


_DEBIAN_DIRECTORY = "usr/local/share/ca-certificates"
_DEBIAN_BUNDLE = ("etc/ssl/certs/ca-certificates.crt",)
_DEBIAN_JAVA = ("etc/ssl/certs/java/cacerts",)
# Without --fresh Debian's script leaves dangling links to a removed anchor in /etc/ssl/certs.
_DEBIAN_REFRESH = (Refresh("update-ca-certificates", (), ("--fresh",)),)

# The suffix matters: Debian's update-ca-certificates(8) reads no file whose name ends otherwise.
FAMILIES: tuple[Family, ...] = (
    Family(
        "Fedora",
        ("fedora", "rhel", "centos", "rocky", "almalinux", "amzn", "ol"),
        "etc/pki/ca-trust/source/anchors",
        ".pem",
        (Refresh("update-ca-trust", ("extract",), ("extract",)),),
        ("etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",),
        "sudo dnf install ca-certificates",
        "sudo dnf install nss-tools",
        ("etc/pki/ca-trust/extracted/java/cacerts",),
        p11_kit=True,
    ),
    Family(
        "Debian",
        ("debian", "ubuntu", "linuxmint", "raspbian", "pop", "kali"),
        _DEBIAN_DIRECTORY,
        ".crt",
        _DEBIAN_REFRESH,
        _DEBIAN_BUNDLE,
        "sudo apt install ca-certificates",
        "sudo apt install libnss3-tools",
        _DEBIAN_JAVA,
        ("etc/ca-certificates/update.d/jks-keystore",),
    ),
    Family(
        "Alpine",
        ("alpine", "postmarketos"),
        _DEBIAN_DIRECTORY,
        ".crt",
        (Refresh("update-ca-certificates"),),
        (*_DEBIAN_BUNDLE, "etc/ssl/cert.pem"),
        "sudo apk add ca-certificates",
        "sudo apk add nss-tools",
        _DEBIAN_JAVA,
        ("etc/ca-certificates/update.d/java-cacerts",),
    ),
    Family(
        "Gentoo",
        ("gentoo",),
        _DEBIAN_DIRECTORY,
        ".crt",
        _DEBIAN_REFRESH,
        _DEBIAN_BUNDLE,
        "sudo emerge app-misc/ca-certificates",
        "sudo emerge dev-libs/nss",
    ),
    Family(
        "Arch",
        ("arch", "manjaro", "endeavouros", "archarm"),
        "etc/ca-certificates/trust-source/anchors",
        ".crt",
        (
            Refresh("update-ca-trust"),
            Refresh("trust", ("extract-compat",), ("extract-compat",)),
        ),
        ("etc/ca-certificates/extracted/tls-ca-bundle.pem", "etc/ssl/certs/ca-certificates.crt"),
        "sudo pacman -S ca-certificates-utils",
        "sudo pacman -S nss",
        ("etc/ca-certificates/extracted/java-cacerts.jks", *_DEBIAN_JAVA),
        p11_kit=True,
    ),
    Family(
        "openSUSE",
        ("opensuse", "opensuse-tumbleweed", "opensuse-leap", "suse", "sles", "sled"),
        "etc/pki/trust/anchors",
        ".pem",
        (Refresh("update-ca-certificates"),),
        ("var/lib/ca-certificates/ca-bundle.pem", "etc/ssl/ca-bundle.pem"),
        "sudo zypper install ca-certificates",
        "sudo zypper install mozilla-nss-tools",
        ("var/lib/ca-certificates/java-cacerts",),
        p11_kit=True,
    ),
    Family(
        "FreeBSD",
        ("freebsd",),
        "usr/local/etc/ssl/certs",
        ".pem",
        (Refresh("certctl", ("rehash",), ("rehash",)),),
        ("etc/ssl/certs",),
        "su -m root -c 'pkg install ca_root_nss'",
        "su -m root -c 'pkg install nss'",
        writer="tee",  # install(1) of FreeBSD copies regular files only
    ),
)

NIXOS = Family("NixOS", ("nixos",), "", "", (), (*_DEBIAN_BUNDLE,), "", "nix-shell -p nssTools")
"""Declarative: nothing may be written, so it has neither directory nor refresh."""

UNKNOWN_NSS_PACKAGE = "install the package that has NSS's certutil (libnss3-tools, nss-tools or nss)"


def choose_family(ids: Collection[str], complete: Collection[str]) -> Family | None:
    """Return the row for a system: `ids` from os-release, nearest first; `complete` = families that are there."""
    if "nixos" in ids:
        return NIXOS
    named = [family for os_id in ids for family in FAMILIES if os_id in family.os_ids]
    there = [family for family in FAMILIES if family.name in complete]
    both = [family for family in named if family in there]
    # A directory without its tool misleads in toolbox containers; what only os-release names, names the package.
    for candidates in (both, there, named):
        if candidates:
            return candidates[0]
    return None


def read_os_ids(text: str) -> tuple[str, ...]:
    """Return ID and then ID_LIKE of an os-release file."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"(ID|ID_LIKE)=[\"']?([a-z0-9._ -]*)[\"']?\s*\Z", line)
        if match:
            found[match[1]] = match[2]
    # The nearest first: ID_LIKE is ordered so (os-release(5)).
    return (*found.get("ID", "").split(), *found.get("ID_LIKE", "").split())
