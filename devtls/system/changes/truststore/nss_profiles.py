"""The places of browsers' NSS databases on Linux.

Owns the list of directories (platform guide A.2) and Chromium's rule: since version 146 the database is
$XDG_DATA_HOME/pki/nssdb, but ~/.pki/nssdb is used, and nothing else, where that directory exists. So every existing one
gets the root; where there is none, one is made, and an old directory is made only for an old Chromium, since an empty
one would hide the new one. Refuses to touch the sandbox permissions of Flatpak: it reports them.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devtls.system.changes.truststore.nss import NssPlace
from devtls.system.machine.execute import Finished, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run

FIRST_WITH_NEW_DIRECTORY = 146
"""The Chromium version that moved the shared database (platform guide A.2)."""

_CHROMIUMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "google-chrome-beta",
    "brave-browser",
    "microsoft-edge",
)
_MAJOR = re.compile(rb"\b(\d{2,4})\.\d+\.\d+")
_VERSION_S = 5.0

_FIREFOX_DIRECTORIES = (
    (".mozilla/firefox", "Firefox"),
    ("snap/firefox/common/.mozilla/firefox", "Firefox (snap)"),
    (".var/app/org.mozilla.firefox/.mozilla/firefox", "Firefox (Flatpak)"),
    (".var/app/org.mozilla.firefox/config/mozilla/firefox", "Firefox (Flatpak)"),
    (".librewolf", "LibreWolf"),
    (".var/app/io.gitlab.librewolf-community/.librewolf", "LibreWolf (Flatpak)"),
    (".var/app/io.gitlab.librewolf-community/config/librewolf/librewolf", "LibreWolf (Flatpak)"),
    (".zen", "Zen"),
    (".var/app/app.zen_browser.zen/.zen", "Zen (Flatpak)"),
    (".waterfox", "Waterfox"),
    (".var/app/net.waterfox.waterfox/.waterfox", "Waterfox (Flatpak)"),
    (".floorp", "Floorp"),
    (".var/app/one.ablaze.floorp/.floorp", "Floorp (Flatpak)"),
)
"""Firefox's Developer Edition, Beta and Nightly are profiles in Firefox's own directory."""
_CONFIG_DIRECTORIES = (
    ("mozilla/firefox", "Firefox"),
    ("librewolf/librewolf", "LibreWolf"),
    ("zen", "Zen"),
    ("waterfox", "Waterfox"),
    ("floorp", "Floorp"),
)
"""Below the user's config directory, where Firefox 147 and what is built from it make new profiles."""
_SNAP_CHROMIUMS = (("chromium", "Chromium"), ("brave", "Brave"), ("opera", "Opera"), ("vivaldi", "Vivaldi"))
_FLATPAK_CHROMIUMS = (
    ("com.google.Chrome", "Chrome"),
    ("org.chromium.Chromium", "Chromium"),
    ("com.brave.Browser", "Brave"),
    ("com.microsoft.Edge", "Edge"),
    ("com.opera.Opera", "Opera"),
    ("com.vivaldi.Vivaldi", "Vivaldi"),
    ("io.github.ungoogled_software.ungoogled_chromium", "Ungoogled Chromium"),
)
_IN_FLATPAK = (".pki/nssdb", "data/pki/nssdb")
"""What stays of a sandbox's ~/.pki (if it was told to) and of its own data directory."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A browser that no store reaches: one sentence and what to do."""

    text: str
    remedy: str


def find_places(machine: Machine, runner: Runner, *, may_make: bool) -> tuple[NssPlace, ...]:
    """Return every database directory of this user, none twice; `may_make` = certutil can make a missing one."""
    found: dict[Path, NssPlace] = {}
    for place in (*_chromium(machine, runner, may_make), *_sandboxed(machine), *_firefox(machine)):
        # Resolved: a profile may be reached by a link as well.
        found.setdefault(place.directory.resolve(), place)
    return tuple(found.values())


def _chromium(machine: Machine, runner: Runner, may_make: bool) -> Iterator[NssPlace]:
    new, old = machine.data_home / "pki" / "nssdb", machine.home / ".pki" / "nssdb"
    existing = [directory for directory in (old, new) if directory.is_dir()]
    if not existing:
        versions = list(_versions(machine, runner))
        if versions or may_make:
            # An empty old directory would hide the new one from a Chromium that reads the new.
            existing = [old if any(version < FIRST_WITH_NEW_DIRECTORY for version in versions) else new]
    for directory in existing:
        yield NssPlace(directory, "Chromium and Chrome", machine.tilde(directory))


def _versions(machine: Machine, runner: Runner) -> Iterator[int]:
    seen: set[Path] = set()
    for name in _CHROMIUMS:
        browser = machine.user_tool(name)
        if browser is None or browser.resolve() in seen:
            continue
        seen.add(browser.resolve())
        ended = runner.run(Run((str(browser), "--version"), timeout_s=_VERSION_S))
        found = _MAJOR.search(ended.stdout) if isinstance(ended, Finished) else None
        # One that does not say is taken for a new one: a wrong old directory would do more harm than a missing root.
        yield int(found[1]) if found else FIRST_WITH_NEW_DIRECTORY


def _sandboxed(machine: Machine) -> Iterator[NssPlace]:
    for snap, reader in _SNAP_CHROMIUMS:
        current = machine.home / "snap" / snap / "current"
        if current.is_dir():
            old, new = current / ".pki" / "nssdb", current / ".local" / "share" / "pki" / "nssdb"
            for directory in [directory for directory in (old, new) if directory.is_dir()] or [new]:
                yield NssPlace(directory, f"{reader} (snap)", machine.tilde(directory))
    for app, reader in _FLATPAK_CHROMIUMS:
        for directory in _flatpak_databases(machine, app):
            yield NssPlace(directory, f"{reader} (Flatpak)", machine.tilde(directory))


def _flatpak_databases(machine: Machine, app: str) -> list[Path]:
    directories = [machine.home / ".var" / "app" / app / inner for inner in _IN_FLATPAK]
    return [directory for directory in directories if (directory / "cert9.db").is_file()]


def _firefox(machine: Machine) -> Iterator[NssPlace]:
    places = [(machine.home / directory, reader) for directory, reader in _FIREFOX_DIRECTORIES]
    places[1:1] = [(machine.config_home / directory, reader) for directory, reader in _CONFIG_DIRECTORIES]
    for base, reader in places:
        for profile in _profiles(base):
            if (profile / "cert9.db").is_file():
                yield NssPlace(profile, f"{reader} profile", machine.tilde(profile))


def find_firefox_profiles(machine: Machine) -> tuple[NssPlace, ...]:
    """Return the profiles of Firefox and its kin that were used."""
    return tuple(_firefox(machine))


def has_firefox(machine: Machine) -> bool:
    """Say whether Firefox itself, which reads the policies in /etc/firefox, is or was used here."""
    if machine.user_tool("firefox", "firefox-esr", "firefox-bin", "firefox-developer-edition", "firefox-nightly"):
        return True
    return any(place.reader.startswith("Firefox") for place in _firefox(machine))


def _profiles(base: Path) -> Iterable[Path]:
    """Yield the directories in `base` and those that profiles.ini names, which may lie anywhere."""
    try:
        inside = sorted(entry for entry in base.iterdir() if entry.is_dir())
        text = (base / "profiles.ini").read_text("utf-8", "replace")
    except FileNotFoundError:
        return [*inside] if base.is_dir() else []
    except OSError:
        return []
    return [*inside, *_listed_profiles(base, text)]


def _listed_profiles(base: Path, text: str) -> Iterator[Path]:
    # Firefox bears doubled sections and any % in a path; without both settings configparser does not.
    listed = configparser.RawConfigParser(strict=False)
    try:
        listed.read_string(text)
    except configparser.Error:
        return
    for section in listed.sections():
        path = listed.get(section, "Path", fallback="")
        if path:
            absolute = listed.get(section, "IsRelative", fallback="1") == "0"
            yield Path(path) if absolute else base / path


def find_notices(machine: Machine) -> tuple[Notice, ...]:
    """Return notices about sandboxed browsers that read no database of this user."""
    return tuple(
        Notice(
            f"{reader} from Flatpak cannot see your certificate database.",
            f"flatpak override --user --filesystem=~/.pki {app}, or import the root in its settings",
        )
        for app, reader in _FLATPAK_CHROMIUMS
        if (machine.home / ".var" / "app" / app).is_dir() and not _flatpak_databases(machine, app)
    )
