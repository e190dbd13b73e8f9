"""`devtls doctor`: what is wrong on this machine, why it matters, and the command that remedies it.

Owns the order: look, say; with --fix show, ask once, do, look again. Decides nothing about what is wrong. The exit
code is 0 when nothing is, 1 when something is to be fixed. Without --fix nothing is changed.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from devtls.cli.diagnosis.doctor_view import Fixed, as_values, in_words, result_lines
from devtls.cli.terminal.change_view import plan_text
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask, is_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.doctor.health.diagnosis import Diagnosis, DoctorEnvironment, diagnose
from devtls.doctor.health.fixes import apply_fix, proposed_fixes
from devtls.errors import ExitCode, Refused
from devtls.operations.control import statuses
from devtls.system.changes.engine import Executor
from devtls.system.changes.record import ChangeRecord
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo_for


@click.command()
@click.option("--fix", is_flag=True, help="Do what is safe: show it, ask once, look again.")
@click.option("--yes", "-y", is_flag=True, help="With --fix: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Also show everything that is fine.")
def command(*, fix: bool, yes: bool, as_json: bool, verbose: bool) -> int:
    """Look for what keeps browsers and tools from your apps, and say what remedies it.

    CA, stores, browsers, real clients, variables, devtls.toml, names and ports. Nothing is changed without --fix.
    """
    refuse_sudo_for("doctor")
    if yes and not fix:
        raise click.UsageError("--yes answers what --fix asks: devtls doctor --fix --yes")
    if fix and not (yes or is_terminal()):
        raise Refused(
            "devtls doctor --fix asks before it changes anything, and this is no terminal to ask on.",
            hint="devtls doctor --fix --yes does it without asking, devtls doctor only looks",
        )
    machine = Machine.here()
    runner = ProcessRunner(machine.elevation, machine.root)
    paths = Paths.from_environment()
    environment = DoctorEnvironment(
        machine,
        paths,
        runner,
        os.environ,
        _directory(),
        terminal_passphrases(),
        lambda: [serve for serve in statuses(paths, TerminalReporter()) if not serve.demo],
    )
    diagnosis = _diagnose(environment)
    fixed: tuple[Fixed, ...] = ()
    if fix:
        fixed = _fix(diagnosis, environment, yes=yes)
        diagnosis = _diagnose(environment) if fixed else diagnosis
    _show(diagnosis, fixed, as_json=as_json, verbose=verbose)
    return ExitCode.FAILED if diagnosis.wrong else ExitCode.OK


def _directory() -> Path:
    try:
        return Path.cwd()
    except OSError:  # the directory that the shell is in was removed
        return Path.home()


def _diagnose(environment: DoctorEnvironment) -> Diagnosis:
    watched = sys.stderr.isatty()
    if watched:
        click.echo("Looking …", nl=False, err=True)
    try:
        return diagnose(environment, datetime.now(UTC))
    finally:
        if watched:
            click.echo("\r         \r", nl=False, err=True)


def _fix(diagnosis: Diagnosis, environment: DoctorEnvironment, *, yes: bool) -> tuple[Fixed, ...]:
    proposals = proposed_fixes(diagnosis)
    if not proposals:
        click.echo("There is nothing that --fix may do.\n", err=True)
        return ()
    click.echo(f"This will be done:\n\n{plan_text(proposals, None)}\n", err=True)
    if not yes:
        ask("Go ahead?")
    executor = Executor(environment.runner, None, ChangeRecord(environment.paths.state_dir))
    return tuple((proposal, apply_fix(proposal, executor)) for proposal in proposals)


def _show(diagnosis: Diagnosis, fixed: tuple[Fixed, ...], *, as_json: bool, verbose: bool) -> None:
    if as_json:
        print_json(as_values(diagnosis.findings, fixed))
        return
    if fixed:
        click.echo("\n".join([*result_lines(fixed), ""]))
    click.echo(in_words(diagnosis.findings, verbose=verbose))
