"""`devtls service`: devtls started by the system itself, always as the user.

Owns the order: check the routes, look, show, ask once, do, look again. Refuses sudo, a service that would have no route
to serve, and to call it installed before the system says that it runs.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.log_tail import show_log
from devtls.cli.running import find_running, refuse_sudo_for
from devtls.cli.service_view import plan_json, plan_text, status_json, status_lines
from devtls.cli.store_view import refuse_without_terminal
from devtls.config import Config
from devtls.errors import ConfigError, DevtlsError, ExitCode, NotRunning, Refused
from devtls.system.discovery import FILE_NAME, find_config, load_config, named_config
from devtls.system.execute import ProcessRunner, execute
from devtls.system.launch import launch
from devtls.system.paths import Paths
from devtls.system.plan import Plan
from devtls.system.service.account import FOLDER_VARIABLES, Account, AnyService, LogFile
from devtls.system.service.discovery import find_services
from devtls.system.setup.protocol import MeasureState, Part, Status, User, Wish
from devtls.system.truststore.machine import Machine
from devtls.web.control_messages import FORMAT, STATUS, ServeStatus, StatusAnswer

_START_S = 5.0
_LOOK_S = 0.2


@dataclass(frozen=True)
class _Session:
    """What one run works with; everything is looked up once."""

    machine: Machine
    paths: Paths
    config: Path | None = None

    @classmethod
    def begin(cls, command: str, config: Path | None = None) -> _Session:
        """Return a session, unless `command` runs under sudo."""
        refuse_sudo_for(f"service {command}")
        return cls(Machine.here(), Paths.from_environment(), config.absolute() if config else None)

    @cached_property
    def runner(self) -> ProcessRunner:
        return ProcessRunner(self.machine.elevation)

    @cached_property
    def services(self) -> tuple[AnyService, ...]:
        return find_services(self.machine, self.runner, config=self.config)

    @property
    def own(self) -> AnyService:
        """The user's own service; the others are parts of `devtls setup`."""
        return next(service for service in self.services if service.part is Part.SERVICE)


_YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Show the exact commands and change nothing.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Have devtls serve started by the system, as you: at login, and again when it crashes."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command(short_help="Start devtls at login from now on, and at once.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The service uses this file.")
@_YES
@_DRY_RUN
@_JSON
def install(*, config: Path | None, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Start devtls serve at login from now on, and at once, as you: a systemd user service, a launchd agent, or a task.

    It serves your own devtls.toml (~/.config/devtls), not the one of the folder you are in, unless FILE is given.
    """
    if not (yes or dry_run):
        refuse_without_terminal("service install")
    session = _Session.begin("install", config)
    service, facts = session.own, session.own.probe()
    config_used = _check_routes(session, service.account(facts).config)
    wish = _wish(session, config_used)
    state, plan = service.state(facts, wish), service.install_plan(facts, wish)
    if not plan and state.status is not Status.IN_FORCE:
        raise DevtlsError(f"The service cannot be installed: {state.detail}.", hint=state.remedy)
    done = _go(session, plan, state, yes=yes, dry_run=dry_run, as_json=as_json, note=service.purpose)
    if done:
        after = service.probe()
        if not as_json:
            account = service.account(after)
            process = f" (process {account.pid})" if account.pid else ""
            click.echo(f"devtls runs as a service{process}. devtls service status and devtls service logs show more.")
    elif not plan and not as_json:
        click.echo("It is installed already, and runs: devtls service status")


@command.command(short_help="Take it back: stop the service and remove its files.")
@_YES
@_DRY_RUN
@_JSON
def uninstall(*, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take it back: stop the service, disable it, and remove what devtls service install wrote."""
    if not (yes or dry_run):
        refuse_without_terminal("service uninstall")
    session = _Session.begin("uninstall")
    service, facts = session.own, session.own.probe()
    plan = service.remove_plan(facts, service.keepsake(facts))
    state = MeasureState(Status.IN_FORCE if plan else Status.ABSENT)
    if _go(session, plan, state, yes=yes, dry_run=dry_run, as_json=as_json, removing=True) and not as_json:
        click.echo("The service is gone.")
    elif not plan and not as_json:
        click.echo("No service of devtls is installed for you.")


@command.command(short_help="Say whether it is installed and runs.")
@_JSON
def status(*, as_json: bool) -> int:
    """Say whether a service is installed and runs, and what devtls status knows of it."""
    session = _Session.begin("status")
    known = [(service, service.account(service.probe())) for service in session.services]
    installed = [(service, account) for service, account in known if account.installed]
    serves = _serves(session.paths) if installed else {}
    if as_json:
        shown = [status_json(each, account, serves.get(account.pid)) for each, account in installed]
        click.echo(json.dumps({"format": FORMAT, "services": shown}, indent=2))
    elif not installed:
        raise NotRunning("No service of devtls is installed for you.", hint="devtls service install")
    else:
        now = datetime.now().astimezone()
        parts = (status_lines(each, account, serves.get(account.pid), now) for each, account in installed)
        click.echo("\n\n".join("\n".join(lines) for lines in parts))
    return ExitCode.OK if any(account.running for _, account in installed) else ExitCode.NOT_RUNNING


@command.command()
@click.option("--lines", "-n", type=click.IntRange(0, 1_000_000), default=50, show_default=True, metavar="N")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
def logs(*, lines: int, follow: bool) -> int:
    """Show the last lines of the service's log."""
    session = _Session.begin("logs")
    for service in session.services:
        facts = service.probe()
        if service.account(facts).installed:
            log = service.log(facts)
            if isinstance(log, LogFile):
                show_log(log.path, lines, _echo, follow=follow)
                return ExitCode.OK
            return launch([*(log.follow if follow else log.argv), str(lines)], os.environ)
    raise NotRunning("No service of devtls is installed for you.", hint="devtls service install")


def _echo(text: str) -> None:
    click.echo(printable(text), nl=False)


def _go(
    session: _Session, plan: Plan, state: MeasureState, *, yes: bool, dry_run: bool, as_json: bool,
    removing: bool = False, note: str = "",
) -> bool:  # fmt: skip
    """Show the plan and do it, unless it is a dry run; returns whether something was done. Raises DevtlsError."""
    service, elevation = session.own, session.machine.elevation
    shown = "\n\n".join([plan_text(service, plan, elevation), *([note] if note else [])])
    if dry_run or not plan:
        if as_json:
            click.echo(json.dumps({"dry_run": dry_run, **plan_json(service, state, plan, elevation)}, indent=2))
        elif plan:
            click.echo(f"This would be done:\n\n{shown}\n\nNothing was changed.")
        return False
    click.echo(f"This will be done:\n\n{shown}\n", err=True)
    if not removing:
        _warn_of_others(session)
    if not yes and not click.confirm("Go ahead?", err=True):
        raise Refused("You did not say yes: nothing was changed.")
    state = _do(session, plan, state, removing=removing)
    if as_json:
        click.echo(json.dumps({"dry_run": False, **plan_json(service, state, plan, elevation)}, indent=2))
    wanted = Status.ABSENT if removing else Status.IN_FORCE
    if state.status is not wanted:
        verb = "removed" if removing else "installed"
        raise DevtlsError(f"The service was not {verb}: {state.detail}.".replace("..", "."), hint=state.remedy)
    return True


def _do(session: _Session, plan: Plan, state: MeasureState, *, removing: bool) -> MeasureState:
    """Carry the plan out, look again, and say what is so now."""
    service = session.own
    before = service.probe()
    outcome = execute(plan, session.runner)
    after = service.probe()
    if removing:
        left = service.remove_plan(after, service.keepsake(before))
        if not left:
            return MeasureState(Status.ABSENT)
        return service.read_failure(after, outcome) if not outcome.done else MeasureState(Status.FAILED, "it is there")
    if not outcome.done:
        return service.read_failure(after, outcome)
    account = _wait_for_start(service)
    if not account.running:
        why = account.trouble or "the system does not say that it runs"
        return MeasureState(Status.FAILED, why, "devtls service logs")
    return MeasureState(Status.IN_FORCE)


def _wait_for_start(service: AnyService) -> Account:
    """Return what is so once it runs, or after a while: launchd and Windows start it after they said yes."""
    deadline = time.monotonic() + _START_S
    while True:
        account = service.account(service.probe())
        if account.running or account.trouble or time.monotonic() > deadline:
            return account
        time.sleep(_LOOK_S)


def _check_routes(session: _Session, kept: str) -> Config:
    """Return the configuration that the service will have. Raises DevtlsError when it could not serve with it."""
    paths, home = session.paths, session.machine.home
    if session.config or kept:
        found = named_config(session.config or Path(kept))
    else:
        searched = find_config(home, home=home, config_dir=paths.config_dir)
        if searched is None:
            raise Refused(
                f"The service would have no routes: there is no {_own_file(session)}.",
                hint="devtls add app 3000 --global, then devtls service install",
            )
        found = searched
    config = load_config(found, paths)
    if not config.routes:
        where = "--global" if found.path == paths.config_dir.absolute() / FILE_NAME else f"--config {found.path}"
        raise ConfigError(
            "it has no routes, so the service would end at once.",
            source=str(found.path),
            hint=f"devtls add app 3000 {where}, then devtls service install",
        )
    return config


def _own_file(session: _Session) -> str:
    return session.machine.tilde(session.paths.config_dir.absolute() / FILE_NAME)


def _wish(session: _Session, config: Config) -> Wish:
    serve = config.serve
    # A service works in another folder: what counts from this one is written in full.
    folders = {name: Path(value).expanduser() for name in FOLDER_VARIABLES if (value := os.environ.get(name))}
    return Wish(
        user=_user(session.machine.home),
        zones=(),
        hostnames=(),
        https_port=serve.https_port or 443,
        http_port=(serve.http_port or 80) if serve.redirect else None,
        command=(sys.executable, "-m", "devtls"),
        environment={name: str(folder.absolute()) for name, folder in folders.items()},
    )


def _user(home: Path) -> User:
    """Return who runs this: by the number where there is one, since LOGNAME can say anything."""
    if sys.platform == "win32":
        return User(getpass.getuser(), -1, -1, home)
    import pwd

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a number without a name, as containers have them
        name = str(uid)
    return User(name, uid, os.getgid(), home)


def _serves(paths: Paths) -> dict[int, ServeStatus]:
    """Return what the running proxies say, by process."""
    return {one.about.pid: one.get(STATUS, StatusAnswer).serve for one in find_running(paths)}


def _warn_of_others(session: _Session) -> None:
    service = session.own
    own: Account = service.account(service.probe())
    for one in find_running(session.paths):
        if one.about.pid != own.pid:
            click.echo(
                f"{one.label} runs already, on port {one.about.https_port}, which the service will not get while it "
                "does: devtls stop ends it.\n",
                err=True,
            )
