"""The JDKs of this machine, and the file that each of them reads its roots from.

Owns the list of places (JAVA_HOME, the systems' directories, SDKMAN, asdf, mise, jenv, JetBrains, Gradle, Homebrew) and
the rule that `jssecacerts` takes the place of `cacerts` where both exist. Refuses to stop at a broken one: it becomes a
place with a problem. Two names for one file are one place: distributions give all their JDKs the same list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devtls.system.changes.truststore.java_keystore import Unreadable, read_keystore
from devtls.system.changes.truststore.root import ours
from devtls.system.machine.execute import Finished, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run

_LINUX_DIRECTORIES = (
    "usr/lib/jvm/*",
    "usr/lib64/jvm/*",
    "usr/java/*",
    "opt/*",
    "opt/java/*",
    "opt/jvm/*",
    "usr/local/openjdk*",
    "home/linuxbrew/.linuxbrew/opt/openjdk*/libexec",
)
_MAC_DIRECTORIES = (
    "Library/Java/JavaVirtualMachines/*/Contents/Home",
    "opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
)
_WINDOWS_VENDORS = (
    "Java",
    "Eclipse Adoptium",
    "Eclipse Foundation",
    "AdoptOpenJDK",
    "Amazon Corretto",
    "BellSoft",
    "Microsoft",
    "OpenJDK",
    "SapMachine",
    "Semeru",
    "Zulu",
)
_WINDOWS_DIRECTORIES = tuple(
    f"{programs}/{vendor}/*" for programs in ("Program Files", "Program Files (x86)") for vendor in _WINDOWS_VENDORS
)
_DIRECTORIES = {"darwin": _MAC_DIRECTORIES, "win32": _WINDOWS_DIRECTORIES}
_HOME_DIRECTORIES = (
    ".jdks/*",
    ".jdks/*/Contents/Home",
    ".gradle/jdks/*",
    ".gradle/jdks/*/Contents/Home",
    ".jenv/versions/*",
    "Library/Java/JavaVirtualMachines/*/Contents/Home",
    "scoop/apps/*jdk*/current",
)
_SECURITY = ("lib/security", "jre/lib/security")
_LISTED = re.compile(rb'^[ \t]+.*"[ \t]+(/.+)$', re.MULTILINE)
_LIST_S = 5.0


@dataclass(frozen=True, slots=True)
class JavaPlace:
    """One file that JDKs read their roots from; `homes` are those JDKs.

    `dormant` = a `jssecacerts` beside it has its place, so it only ever loses roots; `problem` = there is no such file.
    """

    keystore: Path
    homes: tuple[Path, ...]
    dormant: bool = False
    problem: str = ""


def find_java(machine: Machine, runner: Runner) -> tuple[JavaPlace, ...]:
    """Return every keystore of this machine's JDKs, none twice; JAVA_HOME comes first."""
    found: dict[Path, JavaPlace] = {}
    for home in dict.fromkeys(_homes(machine, runner)):
        for place in _places(home):
            known = found.get(place.keystore)
            if known is None:
                found[place.keystore] = place
            # `default` and `current` are links beside the JDK itself: one JDK is named once.
            elif home.resolve() not in [other.resolve() for other in known.homes]:
                found[place.keystore] = JavaPlace(place.keystore, (*known.homes, home), known.dormant)
    return (*_broken(machine), *found.values())


def _homes(machine: Machine, runner: Runner) -> Iterator[Path]:
    if machine.environ.get("JAVA_HOME"):
        yield Path(machine.environ["JAVA_HOME"])
    java = machine.user_tool("java", "java.exe")
    if java is not None and java.resolve().parent.name == "bin":
        yield java.resolve().parent.parent
    yield from _inside(machine.root, _DIRECTORIES.get(machine.platform, _LINUX_DIRECTORIES))
    yield from _inside(machine.home, _HOME_DIRECTORIES)
    yield from _inside(machine.named_directory("SDKMAN_DIR", machine.home / ".sdkman"), ("candidates/java/*",))
    yield from _inside(machine.named_directory("ASDF_DATA_DIR", machine.home / ".asdf"), ("installs/java/*",))
    yield from _inside(machine.named_directory("MISE_DATA_DIR", machine.data_home / "mise"), ("installs/java/*",))
    yield from _registered(machine, runner)


def _registered(machine: Machine, runner: Runner) -> Iterator[Path]:
    """Yield the JDKs that macOS itself knows: each line of its list, on stderr, ends with a directory."""
    tool = machine.root / "usr/libexec/java_home"
    if machine.platform == "darwin" and tool.is_file():
        ended = runner.run(Run((str(tool), "-V"), timeout_s=_LIST_S))
        if isinstance(ended, Finished):
            yield from (Path(line[1].decode("utf-8", "replace")) for line in _LISTED.finditer(ended.stderr))


def _inside(directory: Path, patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        try:
            # Sorted: the order of a directory is the file system's, and rows should not move between runs.
            yield from sorted(directory.glob(pattern))
        except OSError:  # a directory on the way is closed to us
            continue


def _places(home: Path) -> Iterator[JavaPlace]:
    for below in _SECURITY:
        own, usual = home / below / "jssecacerts", home / below / "cacerts"
        used, unused = (own, usual) if own.is_file() else (usual, None)
        if not used.is_file():
            continue
        yield JavaPlace(used.resolve(), (home,))
        if unused is not None and _holds_ours(unused):
            yield JavaPlace(unused.resolve(), (home,), dormant=True)
        return


def _holds_ours(keystore: Path) -> bool:
    try:
        held = read_keystore(keystore.read_bytes())
    except OSError:
        return False
    return not isinstance(held, Unreadable) and any(ours(entry.der) for entry in held)


def _broken(machine: Machine) -> Iterator[JavaPlace]:
    named = machine.environ.get("JAVA_HOME", "")
    if named and not any(_places(Path(named))):
        there = "which has no list of roots" if Path(named).is_dir() else "which is not there"
        keystore = Path(named) / "lib/security/cacerts"
        yield JavaPlace(keystore, (Path(named),), problem=f"JAVA_HOME is {named}, {there}")


def java_version(home: Path) -> str:
    """Return the major version that a JDK's `release` file names ("" = it does not say)."""
    try:
        text = (home / "release").read_text("utf-8", "replace")
    except OSError:
        return ""
    # Java 8 calls itself 1.8 (JEP 223 ended that with 9).
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return found[1] if found else ""
