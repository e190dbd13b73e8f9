"""The whole diagnosis on a redirected machine: what it finds, and every probe that breaks or hangs in turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.doctor.health import diagnosis as diagnosing
from devtls.doctor.health.diagnosis import Diagnosis, DoctorEnvironment, diagnose
from devtls.doctor.health.finding import Level, Section
from devtls.doctor.health.fixes import proposed_fixes
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.plan import ALREADY_ROOT, Run
from devtls.system.storage.keystore import Keystore

PROBES = {
    "probe_ca": Section.CA,
    "probe_files": Section.CA,
    "probe_stores": Section.STORES,
    "probe_browsers": Section.BROWSERS,
    "probe_clients": Section.CLIENTS,
    "probe_shell": Section.SHELL,
    "probe_project": Section.PROJECT,
    "probe_names": Section.NAMES,
    "probe_resolver": Section.NAMES,
    "probe_ports": Section.PORTS,
    "probe_services": Section.SERVICE,
    "probe_machine": Section.MACHINE,
}


def diagnosed(environment: DoctorEnvironment) -> Diagnosis:
    return diagnose(environment, datetime.now(UTC))


def ids(diagnosis: Diagnosis) -> set[str]:
    return {finding.id for finding in diagnosis.findings}


def files(directory: Path) -> dict[str, tuple[float, bytes]]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime, path.read_bytes()) for path in found}


def test_every_section_has_its_say_in_order(environment: DoctorEnvironment, keystore: Keystore) -> None:
    found = diagnosed(environment).findings
    sections = list(dict.fromkeys(finding.section for finding in found))
    assert sections == [section for section in Section if section is not Section.NAMES]
    assert [finding.id for finding in found if finding.level is Level.TROUBLE] == ["untrusted"]


def test_without_a_ca_no_client_is_asked_and_nothing_is_made(environment: DoctorEnvironment, tmp_path: Path) -> None:
    before = files(tmp_path)
    diagnosis = diagnosed(environment)
    assert diagnosis.wrong
    assert "ca-missing" in ids(diagnosis)
    assert Section.CLIENTS not in {finding.section for finding in diagnosis.findings}
    assert files(tmp_path) == before


def test_looking_changes_nothing(environment: DoctorEnvironment, keystore: Keystore, tmp_path: Path) -> None:
    before = files(tmp_path)
    diagnosed(environment)
    assert files(tmp_path) == before


def test_the_configuration_of_the_directory_leads_to_its_names_and_port(
    environment: DoctorEnvironment, keystore: Keystore, tmp_path: Path
) -> None:
    (tmp_path / "devtls.toml").write_text('[serve]\nhttps_port = 29443\n[routes]\n"localhost" = 3000\n')
    found = {finding.id: finding for finding in diagnosed(environment).findings}
    assert found["port-free"].subject == "29443"
    assert any(finding.section is Section.NAMES for finding in found.values())


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_that_breaks_is_a_finding_and_stops_no_other(
    environment: DoctorEnvironment, keystore: Keystore, monkeypatch: pytest.MonkeyPatch, probe: str
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/etc/x")

    monkeypatch.setattr(diagnosing, probe, fail)
    diagnosis = diagnosed(environment)
    (broken,) = [finding for finding in diagnosis.findings if finding.id == "not-examined"]
    assert (broken.section, broken.level) == (PROBES[probe], Level.WARNING)
    assert "PermissionError" in broken.what
    others = {finding.section for finding in diagnosis.findings if finding.id != "not-examined"}
    expected = set(Section) - {PROBES[probe], Section.NAMES}
    unasked = {Section.STORES, Section.CLIENTS} if probe == "probe_ca" else set()
    # Files are looked at beside the CA, which has its say in the same section.
    assert others - ({Section.CA} if probe == "probe_files" else set()) == expected - unasked


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_that_hangs_is_given_up(
    environment: DoctorEnvironment,
    keystore: Keystore,
    monkeypatch: pytest.MonkeyPatch,
    over: threading.Event,
    probe: str,
) -> None:
    monkeypatch.setattr(diagnosing, probe, lambda *_: over.wait(60))
    monkeypatch.setattr(diagnosing, "QUICK_S", 0.4 if PROBES[probe] not in (Section.STORES, Section.CLIENTS) else 10.0)
    monkeypatch.setattr(diagnosing, "PROGRAMS_S", 1.0 if PROBES[probe] in (Section.STORES, Section.CLIENTS) else 30.0)
    found = [finding for finding in diagnosed(environment).findings if finding.id == "not-examined"]
    assert PROBES[probe] in {finding.section for finding in found}
    assert all("it took longer than" in finding.what for finding in found)


def test_a_ca_that_could_not_be_looked_at_makes_no_root_superfluous(
    environment: DoctorEnvironment, keystore: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(diagnosing, "probe_ca", fail)
    diagnosis = diagnosed(environment)
    assert not {"ca-missing", "root-stale", "untrusted"} & ids(diagnosis)
    assert proposed_fixes(diagnosis) == ()


def test_no_program_gets_more_than_its_share_of_time(environment: DoctorEnvironment, keystore: Keystore) -> None:
    limits: list[float] = []

    class Watching(ProcessRunner):
        def run(self, run: Run):  # type: ignore[no-untyped-def] # the parent says it
            limits.append(run.timeout_s)
            return super().run(run)

    tool = environment.machine.root / "usr/bin/curl"
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    diagnosed(replace(environment, runner=Watching(ALREADY_ROOT)))
    assert limits
    assert max(limits) <= diagnosing.PROGRAM_S
