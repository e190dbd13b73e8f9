"""`devtls doctor`: what is wrong on this machine, why it matters, and the command that mends it.

Owns the order: look, say; with --fix show, ask once, do, look again. Decides nothing about what is wrong. The exit
code is 0 when nothing is, 1 when something is to be mended. Without --fix nothing is changed.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from devtls.cli.diagnosis.doctor_view import as_values, in_words, plan_text, result_lines
from devtls.cli.terminal.prompts import ask, is_terminal
from devtls.doctor.health.examine import Diagnosis, Patient, examine
from devtls.doctor.health.mending import Bench, Mended, mend, propose_fixes
from devtls.errors import ExitCode, Refused
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo


@click.command()
@click.option("--fix", is_flag=True, help="Do what is safe: show it, ask once, look again.")
@click.option("--yes", "-y", is_flag=True, help="With --fix: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Also show everything that is fine.")
def command(*, fix: bool, yes: bool, as_json: bool, verbose: bool) -> int:
    """Look for what keeps browsers and tools from your apps, and say what mends it.

    CA, stores, browsers, real clients, variables, devtls.toml, names and ports. Nothing is changed without --fix.
    """
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), "doctor")
    if yes and not fix:
        raise click.UsageError("--yes answers what --fix asks: devtls doctor --fix --yes")
    if fix and not (yes or is_terminal()):
        raise Refused(
            "devtls doctor --fix asks before it changes anything, and this is no terminal to ask on.",
            hint="devtls doctor --fix --yes does it without asking, devtls doctor only looks",
        )
    machine = Machine.here()
    patient = Patient(machine, Paths.from_environment(), ProcessRunner(machine.elevation), os.environ, _directory())
    diagnosis = _examine(patient)
    mended: tuple[Mended, ...] = ()
    if fix:
        mended = _fix(diagnosis, patient, yes=yes)
        diagnosis = _examine(patient) if mended else diagnosis
    _show(diagnosis, mended, as_json=as_json, verbose=verbose)
    return ExitCode.FAILED if diagnosis.wrong else ExitCode.OK


def _directory() -> Path:
    try:
        return Path.cwd()
    except OSError:  # the folder that the shell stands in was removed
        return Path.home()


def _examine(patient: Patient) -> Diagnosis:
    watched = sys.stderr.isatty()
    if watched:
        click.echo("Looking …", nl=False, err=True)
    try:
        return examine(patient, datetime.now(UTC))
    finally:
        if watched:
            click.echo("\r         \r", nl=False, err=True)


def _fix(diagnosis: Diagnosis, patient: Patient, *, yes: bool) -> tuple[Mended, ...]:
    mendings = propose_fixes(diagnosis)
    if not mendings:
        click.echo("There is nothing that --fix may do.\n", err=True)
        return ()
    click.echo(f"This will be done:\n\n{plan_text(mendings)}\n", err=True)
    if not yes:
        ask("Go ahead?")
    bench = Bench(patient.machine, patient.runner, patient.environ)
    return tuple(mend(each, diagnosis, bench) for each in mendings)


def _show(diagnosis: Diagnosis, mended: tuple[Mended, ...], *, as_json: bool, verbose: bool) -> None:
    if as_json:
        click.echo(json.dumps(as_values(diagnosis.findings, mended), indent=2))
        return
    if mended:
        click.echo("\n".join([*result_lines(mended), ""]))
    click.echo(in_words(diagnosis.findings, verbose=verbose))
