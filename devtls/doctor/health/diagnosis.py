"""The whole diagnosis: every probe at the same time, each with a limit, and the verdicts on their facts.

Owns the order (one probe needs the facts of another), the limits, and the finding that stands for a probe that broke.
Refuses to end because one of them did. Nothing on this machine is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from devtls.doctor.health.authority import CaFacts, ProbedCa, check_ca, probe_ca
from devtls.doctor.health.bounded import ProbeFailed, ProbeThread, probe_within
from devtls.doctor.health.browsers import check_browsers, probe_browsers
from devtls.doctor.health.clients import check_clients, probe_clients
from devtls.doctor.health.files import check_files, probe_files
from devtls.doctor.health.finding import Finding, Level, Section
from devtls.doctor.health.machine import check_machine, probe_machine
from devtls.doctor.health.names import check_names, probe_names, probe_resolver
from devtls.doctor.health.ports import HTTP, HTTPS, STAND_IN, WantedPorts, check_ports, probe_ports
from devtls.doctor.health.project import ProjectFacts, check_project, probe_project
from devtls.doctor.health.proxy_settings import check_proxy_settings, probe_proxy_settings
from devtls.doctor.health.running import check_running, hosts_of, reads
from devtls.doctor.health.service import check_services, probe_services
from devtls.doctor.health.shell import check_shell, probe_shell
from devtls.doctor.health.stores import ProbedStore, check_stores, probe_stores
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.system.changes.change import Status
from devtls.system.changes.clientenv.files import are_retired
from devtls.system.changes.record import ChangeRecord
from devtls.system.machine.execute import Finished, NotFinished, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths
from devtls.system.machine.plan import Run
from devtls.system.storage.passphrase import NO_PASSPHRASES, PassphraseSource
from devtls.web.control_messages import ServeStatus

QUICK_S = 6.0
"""Limit of a probe that reads files, asks the resolver or knocks on ports."""
PROGRAMS_S = 40.0
"""Limit of a probe that starts programs, several of them in a row."""
PROGRAM_S = 8.0
"""Limit of each of those programs."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DoctorEnvironment:
    """The environment of a diagnosis: this machine, as this user sees it in this directory and this shell."""

    machine: Machine
    paths: Paths
    runner: Runner
    environ: Mapping[str, str]
    directory: Path
    passphrases: PassphraseSource = NO_PASSPHRASES
    serves: Callable[[], Sequence[ServeStatus]] = tuple
    """Asks every proxy that runs."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Every finding, in the order of the sections."""

    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> bool:
        """Whether there is something to fix."""
        return any(finding.wrong for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _TimeLimited:
    """Starts programs with a time limit of ours: a person who waits for a diagnosis does not wait for minutes."""

    runner: Runner

    def run(self, run: Run) -> Finished | NotFinished:
        return self.runner.run(replace(run, timeout_s=min(run.timeout_s, PROGRAM_S)))


def diagnose(environment: DoctorEnvironment, now: datetime) -> Diagnosis:
    """Run every probe and return the findings, in the order of the sections."""
    state_dir = environment.paths.state_dir
    looked = probe_within(lambda: probe_ca(state_dir, now, environment.passphrases), QUICK_S)
    # A CA that nobody could look at may be there: no root in a store is called superfluous then.
    ca = looked if isinstance(looked, ProbedCa) else ProbedCa(CaFacts(state_dir, now, exists=True), None, None)
    findings = _check(Section.CA, looked, lambda found: check_ca(found.facts))
    order = list(Section)
    findings += sorted(_Diagnosing(environment, ca).run(), key=lambda finding: order.index(finding.section))
    return Diagnosis(tuple(findings))


class _Diagnosing:
    """The probes that need the facts about the CA."""

    def __init__(self, environment: DoctorEnvironment, ca: ProbedCa) -> None:
        self._environment = environment
        self._ca = ca
        self._began = time.monotonic()

    def run(self) -> list[Finding]:
        """Start every probe at once and return the findings."""
        environment, ca = self._environment, self._ca
        runner = _TimeLimited(environment.runner)
        stores = ProbeThread(lambda: probe_stores(environment.machine, runner, ca))
        clients = ProbeThread(lambda: probe_clients(environment.machine, runner, ca, environment.environ))
        shell = ProbeThread(lambda: probe_shell(ca, environment.machine, environment.environ))
        machine = ProbeThread(lambda: probe_machine(environment.machine, runner))
        services = ProbeThread(lambda: probe_services(environment.machine, runner))
        proxies = ProbeThread(lambda: probe_proxy_settings(environment.machine, runner, environment.environ))
        files = ProbeThread(lambda: probe_files(environment.paths.state_dir, ca.facts.now))
        # In this thread while the others run: the names and ports depend on the project's file.
        findings = self._project_names_and_ports()
        variables, versions, installed = self._quick(shell), self._quick(machine), self._quick(services)
        written, settings = self._quick(files), self._quick(proxies)
        findings += _check(Section.CA, written, check_files)
        findings += _check(Section.SHELL, variables, check_shell)
        findings += _check(Section.MACHINE, versions, check_machine)
        findings += _check(Section.SERVICE, installed, check_services)
        findings += _check(Section.BROWSERS, settings, check_proxy_settings)
        # From the start of all, not from here: the limits do not add up.
        probed = stores.answer(self._began + PROGRAMS_S)
        findings += _check(Section.STORES, probed, check_stores)
        findings += self._browsers(() if isinstance(probed, ProbeFailed) else probed)
        if ca.authority is not None:
            reports, retired = clients.answer(self._began + PROGRAMS_S), are_retired(ca.facts.directory)
            findings += _check(Section.CLIENTS, reports, lambda found: check_clients(found, retired=retired))
        return findings

    def _quick(self, asked: ProbeThread[_T]) -> _T | ProbeFailed:
        # An earlier probe may have used the time up: what is done by now still counts.
        return asked.answer(max(self._began + QUICK_S, time.monotonic()))

    def _project_names_and_ports(self) -> list[Finding]:
        environment, ca = self._environment, self._ca
        zones = tuple(Hostname(zone) for zone in ca.facts.zones) or DEFAULT_ZONES
        found = probe_within(
            lambda: probe_project(environment.directory, environment.machine.home, environment.paths, zones), QUICK_S
        )
        project = ProjectFacts() if isinstance(found, ProbeFailed) else found
        asked = probe_within(environment.serves, QUICK_S)
        serves = () if isinstance(asked, ProbeFailed) else asked
        pki = ca.authority.pki_port if ca.authority else 0
        numbers = [HTTPS, STAND_IN, HTTP, project.https_port or 0, pki, *(serve.https_port for serve in serves)]
        ports = ProbeThread(lambda: probe_ports([number for number in numbers if number], ca, environment.machine))
        hosts = tuple(dict.fromkeys([*hosts_of(serves), *project.hosts]))
        names = probe_within(lambda: probe_names(hosts), QUICK_S)
        resolver = probe_within(lambda: probe_resolver(environment.machine.root), QUICK_S)
        findings = _check(Section.PROJECT, asked, check_running)
        # What runs with the file has told of its apps.
        findings += _check(Section.PROJECT, found, lambda facts: check_project(facts, served=_is_served(facts, serves)))
        if isinstance(resolver, ProbeFailed):
            findings += _check(Section.NAMES, resolver, lambda _: ())
        else:
            findings += _check(Section.NAMES, names, lambda each: check_names(each, resolver))
        wanted = WantedPorts(project.https_port, pki)
        findings += _check(
            Section.PORTS, ports.answer(time.monotonic() + QUICK_S), lambda each: check_ports(each, wanted)
        )
        return findings

    def _browsers(self, stores: Iterable[ProbedStore]) -> list[Finding]:
        environment = self._environment
        trusting = [each.name for each in stores if each.state is not None and each.state.status is Status.APPLIED]
        record = ChangeRecord(self._ca.facts.directory)
        found = probe_within(lambda: probe_browsers(environment.machine, record, trusting), QUICK_S)
        return _check(Section.BROWSERS, found, check_browsers)


def _is_served(facts: ProjectFacts, serves: Sequence[ServeStatus]) -> bool:
    # Without a file there is nothing to say of one while something is served.
    return bool(serves) if not facts.file else reads(serves, facts.file)


def _check(section: Section, found: _T | ProbeFailed, check: Callable[[_T], Iterable[Finding]]) -> list[Finding]:
    """Return the findings about the facts, or that there are none."""
    if not isinstance(found, ProbeFailed):
        return list(check(found))
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
