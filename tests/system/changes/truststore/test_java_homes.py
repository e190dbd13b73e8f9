from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from devtls.system.changes.truststore.java_homes import JavaPlace, find_java, java_version
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from tests.conftest import RequireTool
from tests.system.changes.truststore.keytool import HOW_TO_INSTALL, import_into

RUNNER = ProcessRunner()


def _jdk(home: Path, below: str = "lib/security", name: str = "cacerts") -> Path:
    (home / below).mkdir(parents=True, exist_ok=True)
    (home / below / name).write_bytes(b"")
    return home


def _named(machine: Machine, **environ: str) -> Machine:
    return dataclasses.replace(machine, environ=environ)


def _homes(machine: Machine) -> list[str]:
    return [str(home) for place in find_java(machine, RUNNER) for home in place.homes]


@pytest.mark.parametrize(
    "directory",
    [
        "system/usr/lib/jvm/java-17-openjdk-amd64",
        "system/usr/lib64/jvm/java-11-openjdk",
        "system/usr/java/jdk-21",
        "system/opt/jdk-21.0.2",
        "system/opt/java/openjdk",
        "home/.sdkman/candidates/java/21.0.2-tem",
        "home/.asdf/installs/java/temurin-21",
        "home/.local/share/mise/installs/java/21",
        "home/.jenv/versions/17.0",
        "home/.jdks/corretto-17.0.1",
        "home/.gradle/jdks/eclipse_adoptium-21-amd64-linux.2",
    ],
)
def test_a_jdk_is_found_wherever_tools_keep_them(machine: Machine, tmp_path: Path, directory: str) -> None:
    home = _jdk(tmp_path / directory)
    assert _homes(machine) == [str(home)]


@pytest.mark.parametrize(
    ("variable", "below"),
    [("SDKMAN_DIR", "candidates/java/x"), ("ASDF_DATA_DIR", "installs/java/x"), ("MISE_DATA_DIR", "installs/java/x")],
)
def test_moved_directories_of_version_managers_are_followed(
    machine: Machine, tmp_path: Path, variable: str, below: str
) -> None:
    home = _jdk(tmp_path / "moved" / below)
    assert _homes(_named(machine, **{variable: str(tmp_path / "moved")})) == [str(home)]
    assert _homes(_named(machine, **{variable: "relative"})) == []


@pytest.mark.parametrize(
    ("platform", "directory"),
    [
        ("darwin", "system/Library/Java/JavaVirtualMachines/temurin-21.jdk/Contents/Home"),
        ("darwin", "home/Library/Java/JavaVirtualMachines/corretto-17.jdk/Contents/Home"),
        ("darwin", "system/opt/homebrew/opt/openjdk@21/libexec/openjdk.jdk/Contents/Home"),
        ("win32", "system/Program Files/Eclipse Adoptium/jdk-21.0.2.13-hotspot"),
        ("win32", "system/Program Files/Java/jdk-17"),
        ("win32", "home/scoop/apps/temurin17-jdk/current"),
    ],
)
def test_the_other_systems_have_directories_of_their_own(
    machine: Machine, tmp_path: Path, platform: str, directory: str
) -> None:
    home = _jdk(tmp_path / directory)
    assert _homes(dataclasses.replace(machine, platform=platform)) == [str(home)]


def test_macos_is_asked_for_what_it_knows(
    machine: Machine, tmp_path: Path, make_tool: Callable[[str, str], Path]
) -> None:
    home = _jdk(tmp_path / "else where" / "Contents" / "Home")
    said = f'Matching Java Virtual Machines (1):\n    21.0.2 (arm64) "Vendor/x" - "OpenJDK 21" {home}\n{home}'
    make_tool("usr/libexec/java_home", f"cat >&2 <<'END'\n{said}\nEND")
    assert _homes(dataclasses.replace(machine, platform="darwin")) == [str(home)]
    assert _homes(machine) == []


def test_java_on_path_leads_to_its_jdk(machine: Machine, tmp_path: Path) -> None:
    home = _jdk(tmp_path / "jdk")
    java = home / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    link = tmp_path / "bin" / "java"
    link.parent.mkdir()
    link.symlink_to(java)
    assert _homes(dataclasses.replace(machine, search_path=(str(link.parent),))) == [str(home)]


def test_several_names_for_one_file_are_one_place(machine: Machine) -> None:
    jvm = machine.root / "usr/lib/jvm"
    shared = machine.root / "etc/ssl/certs/java/cacerts"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(b"")
    for name in ("java-17", "java-21"):
        (jvm / name / "lib/security").mkdir(parents=True)
        (jvm / name / "lib/security/cacerts").symlink_to(shared)
    (jvm / "default").symlink_to(jvm / "java-17")
    assert find_java(machine, RUNNER) == (JavaPlace(shared, (jvm / "default", jvm / "java-21")),)


def test_java_8_keeps_its_roots_in_the_jre(machine: Machine) -> None:
    home = _jdk(machine.root / "usr/lib/jvm/java-8", "jre/lib/security")
    (place,) = find_java(machine, RUNNER)
    assert place.keystore == home / "jre/lib/security/cacerts"


def test_jssecacerts_takes_the_place_of_cacerts(
    machine: Machine, root: RootCertificate, require_tool: RequireTool
) -> None:
    home = _jdk(_jdk(machine.home / ".jdks/one"), name="jssecacerts")
    own, usual = home / "lib/security/jssecacerts", home / "lib/security/cacerts"
    assert find_java(machine, RUNNER) == (JavaPlace(own, (home,)),)
    usual.unlink()
    import_into(usual, require_tool("keytool", HOW_TO_INSTALL), "devtls", Path(root.path))
    assert find_java(machine, RUNNER) == (JavaPlace(own, (home,)), JavaPlace(usual, (home,), dormant=True))


@pytest.mark.parametrize(("made", "why"), [(True, "which has no list of roots"), (False, "which is not there")])
def test_a_broken_java_home_is_reported_and_stops_nothing(
    machine: Machine, tmp_path: Path, made: bool, why: str
) -> None:
    whole, broken = _jdk(machine.root / "usr/lib/jvm/java-21"), tmp_path / "broken"
    if made:
        broken.mkdir()
    first, second = find_java(_named(machine, JAVA_HOME=str(broken)), RUNNER)
    assert first.problem == f"JAVA_HOME is {broken}, {why}"
    assert second.homes == (whole,)


def test_a_working_java_home_comes_first(machine: Machine, tmp_path: Path) -> None:
    _jdk(machine.root / "usr/lib/jvm/java-21")
    named = _jdk(tmp_path / "named")
    first, second = find_java(_named(machine, JAVA_HOME=str(named)), RUNNER)
    assert (first.homes, first.problem, second.problem) == ((named,), "", "")


@pytest.mark.parametrize(
    ("release", "version"),
    [('JAVA_VERSION="17.0.15"', "17"), ('JAVA_VERSION="1.8.0_412"', "8"), ('JAVA_VERSION="25"', "25"), ("", "")],
)
def test_the_version_is_read_from_the_release_file(tmp_path: Path, release: str, version: str) -> None:
    assert java_version(tmp_path) == ""
    (tmp_path / "release").write_text(f'IMPLEMENTOR="x"\n{release}\n')
    assert java_version(tmp_path) == version
