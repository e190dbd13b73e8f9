"""What `devtls doctor --fix` does: the safe half of what was found, shown before and checked after.

Owns the order and the words. Refuses whatever takes an administrator, whatever cannot be made again (a CA, a file of
the user's own), and whatever only the user can know to be superfluous. What a store's tool says about its success is
not believed: the store is asked again.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from devtls.doctor.health.examine import Diagnosis
from devtls.doctor.health.finding import CloseToOthers, Fix, InstallRoot, RemoveRoots, RenewFiles
from devtls.doctor.health.stores import Probed
from devtls.errors import DevtlsError
from devtls.system.changes.change import Status
from devtls.system.changes.clientenv.files import renew_files, write_files
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.engine import Executor, Result, apply, propose, propose_revert, revert
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import Runner, write_atomically
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Plan, render_plan


@dataclass(frozen=True, slots=True)
class ProposedFix:
    """One thing that will be done: a sentence without a full stop, and its exact commands."""

    what: str
    commands: tuple[str, ...]
    fix: Fix


@dataclass(frozen=True, slots=True)
class Mended:
    """How it went; `detail` says why it did not."""

    what: str
    done: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """What mending works with."""

    machine: Machine
    runner: Runner
    environ: Mapping[str, str]


def propose_fixes(diagnosis: Diagnosis) -> tuple[ProposedFix, ...]:
    """Return what may be done about the findings, nothing twice."""
    wanted = dict.fromkeys(finding.fix for finding in diagnosis.findings if finding.fix is not None)
    return tuple(_describe(fix, diagnosis) for fix in wanted)


def _describe(fix: Fix, diagnosis: Diagnosis) -> ProposedFix:
    match fix:
        case CloseToOthers(paths):
            commands = tuple(f"chmod go= {shlex.quote(str(path))}" for path in paths)
            return ProposedFix("Close the CA's files to other users", commands, fix)
        case InstallRoot(name):
            store = _find(name, diagnosis)
            commands = render_plan(_installation(store, _root(diagnosis)), None)
            return ProposedFix(f"{store.facts.label}: put the root in", commands, fix)
        case RemoveRoots(name, fingerprints):
            store = _find(name, diagnosis)
            commands = render_plan(store.store.revert_plan(store.found, fingerprints), None)
            return ProposedFix(f"{store.facts.label}: take the root of an earlier CA out", commands, fix)
        case RenewFiles(paths):
            return ProposedFix("Make the files of devtls env anew", tuple(f"# {path}" for path in paths), fix)
        case unknown:
            assert_never(unknown)


def _find(name: str, diagnosis: Diagnosis) -> Probed:
    return next(each for each in diagnosis.stores if each.facts.name == name)


def _root(diagnosis: Diagnosis) -> RootCertificate:
    if diagnosis.ca.root is None:
        raise ValueError("a fix that needs the root was proposed without one")
    return diagnosis.ca.root


def _installation(probed: Probed, root: RootCertificate) -> Plan:
    return probed.store.apply_plan(probed.found, root)


def mend(mending: ProposedFix, diagnosis: Diagnosis, bench: Bench) -> Mended:
    """Do one thing and return how it went; one that fails stops nothing."""
    try:
        detail = _do(mending.fix, diagnosis, bench)
    except DevtlsError as error:
        detail = str(error)
    except OSError as error:
        detail = f"{error.filename or mending.what}: {error.strerror or error}"
    return Mended(mending.what, not detail, detail)


def _do(fix: Fix, diagnosis: Diagnosis, bench: Bench) -> str:
    """Return "" when it is done, else why not."""
    match fix:
        case CloseToOthers(paths):
            for path in paths:
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o077)
            return ""
        case InstallRoot(name):
            return _install(_find(name, diagnosis), _root(diagnosis), diagnosis.ca.facts.directory, bench)
        case RemoveRoots(name, fingerprints):
            return _remove(_find(name, diagnosis), fingerprints, diagnosis.ca.facts.directory, bench)
        case RenewFiles(paths):
            _renew(paths, _root(diagnosis), diagnosis.ca.facts.directory, bench)
            return ""
        case unknown:
            assert_never(unknown)


def _install(probed: Probed, root: RootCertificate, directory: Path, bench: Bench) -> str:
    write_atomically(Path(root.path), root.pem, 0o644)
    executor = Executor(bench.runner, None, ChangeRecord(directory))
    result = apply(propose(probed.store, root), executor)
    write_atomically(Path(root.path), root.list_pem, 0o644)  # with the older ones, which the store was not to be given
    return _reason(result, Status.APPLIED)


def _remove(probed: Probed, fingerprints: frozenset[str], directory: Path, bench: Bench) -> str:
    executor = Executor(bench.runner, None, ChangeRecord(directory))
    result = revert(propose_revert(probed.store, dict.fromkeys(fingerprints, "")), executor)
    return _reason(result, Status.ABSENT)


def _reason(result: Result, wanted: Status) -> str:
    if result.state.status is wanted:
        return ""
    return result.state.detail or result.state.status.value


def _renew(paths: tuple[Path, ...], root: RootCertificate, directory: Path, bench: Bench) -> None:
    planned = plan_environment(probe(directory, root, bench.environ, bench.machine.root)).files
    write_files({path: content for path, content in planned.items() if path in paths})
    renew_files(directory, root)
