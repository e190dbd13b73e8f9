"""The whole examination on a redirected machine: what it finds, and every probe that breaks or hangs in turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.doctor.health import examine as examination
from devtls.doctor.health.examine import Diagnosis, Patient, examine
from devtls.doctor.health.finding import Level, Section
from devtls.doctor.health.mending import propose_fixes
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.plan import ALREADY_ROOT, Run
from devtls.system.storage.keystore import Keystore

PROBES = {
    "look_at_ca": Section.CA,
    "look_at_files": Section.CA,
    "look_at_stores": Section.STORES,
    "look_at_browsers": Section.BROWSERS,
    "look_at_clients": Section.CLIENTS,
    "look_at_shell": Section.SHELL,
    "look_at_project": Section.PROJECT,
    "look_at_names": Section.NAMES,
    "look_at_resolver": Section.NAMES,
    "look_at_ports": Section.PORTS,
    "look_at_services": Section.SERVICE,
    "look_at_machine": Section.MACHINE,
}


def diagnose(patient: Patient) -> Diagnosis:
    return examine(patient, datetime.now(UTC))


def ids(diagnosis: Diagnosis) -> set[str]:
    return {finding.id for finding in diagnosis.findings}


def files(directory: Path) -> dict[str, tuple[float, bytes]]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime, path.read_bytes()) for path in found}


def test_every_section_has_its_say_in_order(patient: Patient, keystore: Keystore) -> None:
    found = diagnose(patient).findings
    sections = list(dict.fromkeys(finding.section for finding in found))
    assert sections == [section for section in Section if section is not Section.NAMES]
    assert [finding.id for finding in found if finding.level is Level.TROUBLE] == ["untrusted"]


def test_without_a_ca_no_client_is_asked_and_nothing_is_made(patient: Patient, tmp_path: Path) -> None:
    before = files(tmp_path)
    diagnosis = diagnose(patient)
    assert diagnosis.wrong
    assert "ca-missing" in ids(diagnosis)
    assert Section.CLIENTS not in {finding.section for finding in diagnosis.findings}
    assert files(tmp_path) == before


def test_looking_changes_nothing(patient: Patient, keystore: Keystore, tmp_path: Path) -> None:
    before = files(tmp_path)
    diagnose(patient)
    assert files(tmp_path) == before


def test_the_configuration_of_the_directory_leads_to_its_names_and_port(
    patient: Patient, keystore: Keystore, tmp_path: Path
) -> None:
    (tmp_path / "devtls.toml").write_text('[serve]\nhttps_port = 29443\n[routes]\n"localhost" = 3000\n')
    found = {finding.id: finding for finding in diagnose(patient).findings}
    assert found["port-free"].subject == "29443"
    assert any(finding.section is Section.NAMES for finding in found.values())


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_that_breaks_is_a_finding_and_stops_no_other(
    patient: Patient, keystore: Keystore, monkeypatch: pytest.MonkeyPatch, probe: str
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/etc/x")

    monkeypatch.setattr(examination, probe, fail)
    diagnosis = diagnose(patient)
    (broken,) = [finding for finding in diagnosis.findings if finding.id == "not-examined"]
    assert (broken.section, broken.level) == (PROBES[probe], Level.WARNING)
    assert "PermissionError" in broken.what
    others = {finding.section for finding in diagnosis.findings if finding.id != "not-examined"}
    expected = set(Section) - {PROBES[probe], Section.NAMES}
    unasked = {Section.STORES, Section.CLIENTS} if probe == "look_at_ca" else set()
    # Files are looked at beside the CA, which has its say in the same section.
    assert others - ({Section.CA} if probe == "look_at_files" else set()) == expected - unasked


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_that_hangs_is_given_up(
    patient: Patient, keystore: Keystore, monkeypatch: pytest.MonkeyPatch, over: threading.Event, probe: str
) -> None:
    monkeypatch.setattr(examination, probe, lambda *_: over.wait(60))
    monkeypatch.setattr(examination, "QUICK_S", 0.4 if PROBES[probe] not in (Section.STORES, Section.CLIENTS) else 10.0)
    monkeypatch.setattr(examination, "PROGRAMS_S", 1.0 if PROBES[probe] in (Section.STORES, Section.CLIENTS) else 30.0)
    found = [finding for finding in diagnose(patient).findings if finding.id == "not-examined"]
    assert PROBES[probe] in {finding.section for finding in found}
    assert all("it took longer than" in finding.what for finding in found)


def test_a_ca_that_could_not_be_looked_at_makes_no_root_superfluous(
    patient: Patient, keystore: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(examination, "look_at_ca", fail)
    diagnosis = diagnose(patient)
    assert not {"ca-missing", "root-stale", "untrusted"} & ids(diagnosis)
    assert propose_fixes(diagnosis) == ()


def test_no_program_gets_more_than_its_share_of_time(patient: Patient, keystore: Keystore) -> None:
    limits: list[float] = []

    class Watching(ProcessRunner):
        def run(self, run: Run):  # type: ignore[no-untyped-def] # the parent says it
            limits.append(run.timeout_s)
            return super().run(run)

    tool = patient.machine.root / "usr/bin/curl"
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    diagnose(replace(patient, runner=Watching(ALREADY_ROOT)))
    assert limits
    assert max(limits) <= examination.PROGRAM_S
