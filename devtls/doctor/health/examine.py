"""The whole examination: every probe at the same time, each with a limit, and what their facts amount to.

Owns the order (what one probe needs of another), the limits, and the finding that stands for a probe that broke.
Refuses to end because one of them did. Nothing on this machine is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from devtls.doctor.health.authority import Ca, CaFacts, judge_ca, look_at_ca
from devtls.doctor.health.bounded import Asked, Broken, ask
from devtls.doctor.health.browsers import judge_browsers, look_at_browsers
from devtls.doctor.health.clients import judge_clients, look_at_clients
from devtls.doctor.health.files import judge_files, look_at_files
from devtls.doctor.health.finding import Finding, Level, Section
from devtls.doctor.health.machine import judge_machine, look_at_machine
from devtls.doctor.health.names import judge_names, look_at_names, look_at_resolver
from devtls.doctor.health.ports import HTTP, HTTPS, STAND_IN, WantedPorts, judge_ports, look_at_ports
from devtls.doctor.health.project import ProjectFacts, judge_project, look_at_project
from devtls.doctor.health.service import judge_services, look_at_services
from devtls.doctor.health.shell import judge_shell, look_at_shell
from devtls.doctor.health.stores import Probed, judge_stores, look_at_stores
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.system.changes.change import Status
from devtls.system.changes.clientenv.files import are_retired
from devtls.system.changes.record import ChangeRecord
from devtls.system.machine.execute import Finished, NotFinished, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths
from devtls.system.machine.plan import Run

QUICK_S = 6.0
"""Limit of a probe that reads files, asks the resolver or knocks on ports."""
PROGRAMS_S = 40.0
"""Limit of a probe that starts programs, several of them in a row."""
PROGRAM_S = 8.0
"""Limit of each of those programs."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: this machine, as this user sees it in this folder and this shell."""

    machine: Machine
    paths: Paths
    runner: Runner
    environ: Mapping[str, str]
    directory: Path


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found; `ca` and `stores` are what mending works on."""

    findings: tuple[Finding, ...]
    ca: Ca
    stores: tuple[Probed, ...] = ()

    @property
    def wrong(self) -> bool:
        """Whether there is something to mend."""
        return any(finding.wrong for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Hurried:
    """Starts programs with a limit of ours: whoever waits for a doctor does not wait for minutes."""

    runner: Runner

    def run(self, run: Run) -> Finished | NotFinished:
        return self.runner.run(replace(run, timeout_s=min(run.timeout_s, PROGRAM_S)))


def examine(patient: Patient, now: datetime) -> Diagnosis:
    """Look at everything and return what was found, in the order of the sections."""
    state_dir = patient.paths.state_dir
    looked = ask(lambda: look_at_ca(state_dir, now), QUICK_S)
    # A CA that nobody could look at may be there: no root in a store is called superfluous then.
    ca = looked if isinstance(looked, Ca) else Ca(CaFacts(state_dir, now, exists=True), None, None)
    findings = _judge(Section.CA, looked, lambda found: judge_ca(found.facts))
    rest, stores = _Examination(patient, ca).run()
    order = list(Section)
    findings += sorted(rest, key=lambda finding: order.index(finding.section))
    return Diagnosis(tuple(findings), ca, stores)


class _Examination:
    """What follows once the CA is known."""

    def __init__(self, patient: Patient, ca: Ca) -> None:
        self._patient = patient
        self._ca = ca
        self._began = time.monotonic()

    def run(self) -> tuple[list[Finding], tuple[Probed, ...]]:
        """Ask everything at once and return the findings, and the stores as they were probed."""
        patient, ca = self._patient, self._ca
        runner = _Hurried(patient.runner)
        stores = Asked(lambda: look_at_stores(patient.machine, runner, ca))
        clients = Asked(lambda: look_at_clients(patient.machine, runner, ca, patient.environ))
        shell = Asked(lambda: look_at_shell(ca, patient.machine, patient.environ))
        machine = Asked(lambda: look_at_machine(patient.machine, runner))
        services = Asked(lambda: look_at_services(patient.machine, runner))
        files = Asked(lambda: look_at_files(patient.paths.state_dir, ca.facts.now))
        findings = self._project_names_and_ports()
        variables, versions, installed = self._quick(shell), self._quick(machine), self._quick(services)
        written = self._quick(files)
        findings += _judge(Section.CA, written, judge_files)
        findings += _judge(Section.SHELL, variables, judge_shell)
        findings += _judge(Section.MACHINE, versions, judge_machine)
        findings += _judge(Section.SERVICE, installed, judge_services)
        probed = stores.answer(self._began + PROGRAMS_S)
        findings += _judge(Section.STORES, probed, lambda found: judge_stores([each.facts for each in found]))
        known = () if isinstance(probed, Broken) else probed
        findings += self._browsers(known)
        if ca.authority is not None:
            reports, retired = clients.answer(self._began + PROGRAMS_S), are_retired(ca.facts.directory)
            findings += _judge(Section.CLIENTS, reports, lambda found: judge_clients(found, retired=retired))
        return findings, known

    def _quick(self, asked: Asked[_T]) -> _T | Broken:
        return asked.answer(max(self._began + QUICK_S, time.monotonic()))

    def _project_names_and_ports(self) -> list[Finding]:
        patient, ca = self._patient, self._ca
        zones = tuple(Hostname(zone) for zone in ca.facts.zones) or DEFAULT_ZONES
        found = ask(lambda: look_at_project(patient.directory, patient.machine.home, patient.paths, zones), QUICK_S)
        project = ProjectFacts() if isinstance(found, Broken) else found
        pki = ca.authority.pki_port if ca.authority else 0
        numbers = [HTTPS, STAND_IN, HTTP, project.https_port or 0, pki]
        ports = Asked(lambda: look_at_ports([number for number in numbers if number], ca, patient.machine))
        names = ask(lambda: look_at_names(project.hosts), QUICK_S)
        resolver = ask(lambda: look_at_resolver(patient.machine.root), QUICK_S)
        findings = _judge(Section.PROJECT, found, judge_project)
        if isinstance(resolver, Broken):
            findings += _judge(Section.NAMES, resolver, lambda _: ())
        else:
            findings += _judge(Section.NAMES, names, lambda each: judge_names(each, resolver))
        wanted = WantedPorts(project.https_port, pki)
        findings += _judge(
            Section.PORTS, ports.answer(time.monotonic() + QUICK_S), lambda each: judge_ports(each, wanted)
        )
        return findings

    def _browsers(self, stores: Iterable[Probed]) -> list[Finding]:
        patient = self._patient
        trusting = [
            each.facts.name
            for each in stores
            if each.facts.state is not None and each.facts.state.status is Status.APPLIED
        ]
        record = ChangeRecord(self._ca.facts.directory)
        found = ask(lambda: look_at_browsers(patient.machine, record, trusting), QUICK_S)
        return _judge(Section.BROWSERS, found, judge_browsers)


def _judge(section: Section, found: _T | Broken, judge: Callable[[_T], Iterable[Finding]]) -> list[Finding]:
    """Return what the facts amount to, or that there are none."""
    if not isinstance(found, Broken):
        return list(judge(found))
    return [
        Finding(
            "not-examined",
            section,
            Level.WARNING,
            f"This could not be looked at: {found.why.rstrip('.')}.",
            "Nothing is known about it, good or bad.",
            "devtls doctor again; if it stays, please report it with what devtls doctor --json prints",
            section.value.lower(),
        )
    ]
