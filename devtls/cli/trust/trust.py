"""`devtls trust`: make the CA when there is none, put its root into every store, and prove that it works.

Owns the order: make, survey, show, ask once, do, show, prove. Refuses to run under sudo, and to change anything
without an answer. One store's trouble never stops the others; the exit code is 0 only if a store that matters trusts
the root.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.ca.root_key import kept_root_key, required_root_key
from devtls.cli.terminal.change_view import change_json, change_rows, plan_text
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask, refuse_without_terminal
from devtls.cli.terminal.table import show_table
from devtls.cli.trust.proof_view import Trusted, show_rest
from devtls.doctor.clients import CLIENTS, Client, Needs
from devtls.doctor.proof import Files, Foreign, Report, prove
from devtls.errors import Refused, StateError, TrustFailed
from devtls.names import DEFAULT_ZONES, Hostname, is_below, parse_zone
from devtls.pki.authority import Authority
from devtls.system.changes.change import Kind
from devtls.system.changes.clientenv.files import renew_files
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, ROOT_FILE
from devtls.system.changes.engine import Executor, Proposal, Result, apply, as_planned
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.bundle import write_extended_bundle, write_merged_bundle
from devtls.system.changes.truststore.discovery import MACHINE_WIDE, Scope, find_stores, select_stores
from devtls.system.changes.truststore.nss_profiles import Notice, find_notices
from devtls.system.changes.truststore.present import present_root
from devtls.system.changes.truststore.root import RootCertificate, fingerprint_of
from devtls.system.changes.truststore.store import AnyStore, is_trusted, propose_trust
from devtls.system.machine.execute import ProcessRunner, write_atomically
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.system.machine.suffixes import is_public_suffix
from devtls.system.storage.ca_directory import NO_LOCKS, Locks
from devtls.system.storage.keystore import Keystore

ABSENT = "not trusted"


@dataclass(frozen=True)
class Session:
    """What one run works with; everything is looked up once. `devtls setup` has one too: it trusts in the same way."""

    machine: Machine
    paths: Paths
    now: datetime
    as_json: bool
    system_wide: bool = False

    @cached_property
    def runner(self) -> ProcessRunner:
        """Start programs."""
        return ProcessRunner(self.machine.elevation)

    @cached_property
    def keystore(self) -> Keystore:
        """The CA."""
        return Keystore(self.paths.state_dir, terminal_passphrases())

    @cached_property
    def record(self) -> ChangeRecord:
        """The record of every change."""
        return ChangeRecord(self.paths.state_dir)

    @property
    def root_file(self) -> Path:
        """The root, for commands and variables to name."""
        return self.paths.state_dir / ROOT_FILE


@dataclass(frozen=True)
class Survey:
    """The stores as they are, and what makes them trust the root."""

    authority: Authority
    root: RootCertificate
    proposals: tuple[Proposal, ...]

    @property
    def has_work(self) -> bool:
        """Whether any store would be changed."""
        return any(proposal.plan for proposal in self.proposals)


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--store", "names", multiple=True, metavar="NAME", help="Only this store: system, nss, java, or a full name."
)
@click.option(
    "--system", "system_wide", is_flag=True, help="macOS, Windows: for every user of this machine (administrator)."
)
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="A zone of the new CA (repeatable).")
@click.option("--keep-root-key", is_flag=True, help="Keep the new root's key, under a passphrase: for teams.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read that passphrase from this descriptor.")
def command(
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    names: tuple[str, ...],
    system_wide: bool,
    zones: tuple[str, ...],
    keep_root_key: bool,
    passphrase_fd: int | None,
) -> None:
    """Make this machine's browsers and tools trust your own development CA.

    Makes the CA when there is none, shows every command before it runs, asks once, and proves the result with the
    real curl, openssl, python and node. Only the commands that are shown with sudo are elevated.
    """
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), "trust")
    wanted = tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones)
    if not (yes or dry_run):
        refuse_without_terminal("trust")
    session = Session(Machine.here(), Paths.from_environment(), datetime.now(UTC), as_json, system_wide)
    stores = find(session, names)
    existing = existing_authority(session, wanted)
    if keep_root_key and existing is not None:
        required_root_key(session.keystore, existing)
    if dry_run:
        _show_dry_run(session, existing, wanted or DEFAULT_ZONES, stores)
    else:
        locks = kept_root_key(passphrase_fd) if keep_root_key and existing is None else NO_LOCKS
        authority = make_authority(session, existing, wanted, locks)
        click.echo(introduction(authority, made=existing is None), err=True)
        _trust(session, authority, stores, yes=yes)


def existing_authority(session: Session, wanted: tuple[Hostname, ...]) -> Authority | None:
    """Return the CA, if there is one. Raises Refused when it cannot speak for these zones."""
    existing = session.keystore.load(session.now) if session.keystore.exists() else None
    _check_zones(existing, wanted)
    return existing


def make_authority(
    session: Session, existing: Authority | None, wanted: tuple[Hostname, ...], locks: Locks = NO_LOCKS
) -> Authority:
    """Return the CA, made now where there is none."""
    authority = existing or session.keystore.load_or_create(wanted or DEFAULT_ZONES, session.now, locks)
    _check_zones(authority, wanted)  # a serve that was started at the same moment may have made the CA
    return authority


def _check_zones(authority: Authority | None, wanted: tuple[Hostname, ...]) -> None:
    if authority is None:
        return
    outside = [zone for zone in wanted if not any(is_below(zone, own) for own in authority.zones)]
    if outside:
        new = " ".join(f"--zone {zone}" for zone in dict.fromkeys(outside))
        raise Refused(
            f"The CA of this machine speaks for {', '.join(authority.zones)}: {', '.join(outside)} needs a new one.",
            hint=f"devtls ca renew {new} makes it, and the present one stays trusted until you retire it",
        )


def find(session: Session, names: tuple[str, ...] = ()) -> tuple[AnyStore, ...]:
    """Return the stores with these names, without any all of them. Raises UnknownStore."""
    recorded = tuple(dict.fromkeys(entry.store for entry in session.record.installed()))
    scope = Scope.MACHINE if session.system_wide or any(name in MACHINE_WIDE for name in recorded) else Scope.USER
    return select_stores(find_stores(session.machine, session.runner, recorded=recorded, scope=scope), names)


def _show_dry_run(
    session: Session, authority: Authority | None, zones: tuple[Hostname, ...], stores: tuple[AnyStore, ...]
) -> None:
    proposals = propose_dry(session, authority, stores)
    if session.as_json:
        click.echo(json.dumps(planned_values(session, authority, zones, proposals), indent=2))
        return
    if authority is None:
        click.echo(promise(zones))
    plans = plan_text(proposals, session.machine.elevation, ABSENT)
    click.echo(f"This would be done:\n\n{plans}\n\nNothing was changed.")


def propose_dry(session: Session, authority: Authority | None, stores: tuple[AnyStore, ...]) -> tuple[Proposal, ...]:
    """Plan without writing anything, also for a CA that is not there yet."""
    root = _root(authority, session.root_file) if authority else RootCertificate("ID", b"", session.root_file)
    return propose_trust(stores, root)


def planned_values(
    session: Session, authority: Authority | None, zones: tuple[Hostname, ...], proposals: Iterable[Proposal]
) -> dict[str, object]:
    """Return what would be done as JSON values."""
    planned = [change_json(as_planned(proposal, session.machine.elevation)) for proposal in proposals]
    shown = list(authority.zones if authority else zones)
    return {"dry_run": True, "root": _root_json(authority), "zones": shown, "stores": planned}


def promise(zones: Iterable[str]) -> str:
    """Return the sentence for a CA that is not there yet."""
    return f"A CA would be made for {', '.join(zones)}; ID stands for its number."


def _trust(session: Session, authority: Authority, stores: tuple[AnyStore, ...], *, yes: bool) -> None:
    survey = look(session, authority, stores)
    _announce(survey.proposals, session)
    if survey.has_work and not yes:
        ask("Go ahead?")
    trusted = carry_out(survey, session)
    if session.as_json:
        click.echo(json.dumps(as_values(authority, trusted), indent=2))
    else:
        show_table(("Store", "State", "Remedy"), change_rows(trusted.results, ABSENT))
        show_rest(trusted)
        if any(result.changed and result.kind is Kind.BROWSER for result in trusted.results):
            click.echo("\nRestart browsers that are open. Next: devtls serve app=3000", err=True)
    judge(trusted)


def look(session: Session, authority: Authority, stores: tuple[AnyStore, ...]) -> Survey:
    """Put the root where commands find it, and plan what makes the stores trust it."""
    _write_root_file(session.root_file, authority.root_pem)
    root = _root(authority, session.root_file)
    renew_files(session.paths.state_dir, root)  # shells that devtls env prepared go on with this CA
    survey = Survey(authority, root, propose_trust(stores, root))
    if not survey.has_work:
        _write_root_file(session.root_file, root.list_pem)
    return survey


def carry_out(survey: Survey, session: Session) -> Trusted:
    """Do what was planned, store by store, and let real clients prove it."""
    root = survey.root
    results = tuple(_apply(proposal, session) for proposal in survey.proposals)
    reports = _prove(survey.authority, root, session)
    _write_root_file(session.root_file, root.list_pem)  # with the older ones, which no store was to be given
    notices = (*_other_roots(survey.proposals, root), *find_notices(session.machine))
    return Trusted(results, reports, notices)


def _write_root_file(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content, 0o644)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror or error}.",
            path=str(path),
            hint="check who owns the folder and whether the disk is full, then devtls trust",
        ) from error


def _root(authority: Authority, path: Path) -> RootCertificate:
    return present_root(Keystore(path.parent), authority)


def introduction(authority: Authority, *, made: bool) -> str:
    """Return the sentence that says which CA this is, and what it may."""
    zones, until = ", ".join(authority.zones), authority.root.not_valid_after_utc
    verb = "Made" if made else "Using"
    fence = "and for nothing else" if authority.name_constrained else "and NOTHING LIMITS IT to them"
    return f"{verb} devtls root {authority.id}: it speaks for {zones}, {fence}, until {until:%Y-%m-%d}."


def _announce(proposals: Iterable[Proposal], session: Session) -> None:
    if any(proposal.plan for proposal in proposals):
        plans = plan_text(proposals, session.machine.elevation, ABSENT)
        click.echo(f"This will be done:\n\n{plans}\n", err=True)
    else:
        click.echo("Nothing to do in any store.\n", err=True)


def _other_roots(proposals: Iterable[Proposal], root: RootCertificate) -> tuple[Notice, ...]:
    """Name roots of other CAs of devtls that the stores hold: nobody needs those of a CA that is gone."""
    holders: dict[str, list[str]] = {}
    known = {fingerprint_of(der) for der in root.ders}
    for proposal in proposals:
        for other in proposal.facts.roots:
            if other.fingerprint not in known:
                holders.setdefault(other.nickname, []).append(proposal.change.label)
    remedy = "devtls untrust --all, then devtls trust: only the present one stays"
    return tuple(
        Notice(f"{nickname}, of an earlier or another CA, is still in: {', '.join(dict.fromkeys(labels))}.", remedy)
        for nickname, labels in holders.items()
    )


def _apply(proposal: Proposal, session: Session) -> Result:
    elevation = session.machine.elevation
    if proposal.plan and (elevation or not proposal.plan.elevated):
        asks = f" ({elevation.name} may ask for your password)" if proposal.plan.elevated and elevation else ""
        click.echo(f"{printable(proposal.change.label)} …{asks if elevation and elevation.argv else ''}", err=True)
    return apply(proposal, Executor(session.runner, elevation, session.record))


def _prove(authority: Authority, root: RootCertificate, session: Session) -> tuple[Report, ...]:
    found = [(session.machine.user_tool(*client.names), client) for client in CLIENTS]
    clients = {tool: client for tool, client in found if tool is not None}
    writing = threading.Lock()

    def for_client(client: Client) -> Path | None:
        with writing:
            return _file_for(client, root, session)

    return prove(authority, clients, Files(session.paths.state_dir, for_client), session.runner, session.now)


def _file_for(client: Client, root: RootCertificate, session: Session) -> Path | None:
    """Return the file that the client's variable shall name; what it names already stays in force."""
    directory = session.paths.state_dir
    named = Path(os.environ.get(client.variable, ""))
    if named.is_file() and named not in (session.root_file, directory / BUNDLE_FILE):
        return write_extended_bundle(directory / f"ca-bundle-{client.variable}.pem", root, named)
    if client.needs is Needs.ROOT:
        return session.root_file
    return write_merged_bundle(directory / BUNDLE_FILE, root, session.machine.root)


def judge(trusted: Trusted) -> None:
    """Raise TrustFailed when no store that matters trusts the root, or a client trusts too much."""
    fooled = [report.client for report in trusted.reports if report.foreign is Foreign.ACCEPTED]
    if fooled:
        raise TrustFailed(
            f"{' and '.join(fooled)} accepted a certificate for a name outside the zones.",
            hint="look for a setting that turns its checks off (insecure in .curlrc, NODE_TLS_REJECT_UNAUTHORIZED), "
            "then devtls trust again; devtls untrust takes the root back",
        )
    if not is_trusted(trusted.results):
        remedies = [result.state.remedy for result in trusted.results if result.state.remedy]
        raise TrustFailed(
            "Neither the system's store nor a browser's trusts the root.",
            hint=remedies[0] if remedies else "devtls trust without --store",
        )


def _root_json(authority: Authority | None) -> dict[str, object] | None:
    if authority is None:
        return None
    until = authority.root.not_valid_after_utc.isoformat()
    return {"id": authority.id, "sha256": authority.fingerprint, "zones": list(authority.zones), "not_after": until}


def as_values(authority: Authority, trusted: Trusted) -> dict[str, object]:
    """Return everything as JSON values."""
    return {
        "dry_run": False,
        "root": _root_json(authority),
        "trusted": is_trusted(trusted.results),
        "stores": [change_json(result) for result in trusted.results],
        "clients": [
            {
                "client": report.client,
                "tool": str(report.tool),
                "verdict": report.verdict.value,
                "setting": report.setting,
                "why": report.why,
                "foreign": report.foreign.value,
                "foreign_why": report.foreign_why,
            }
            for report in trusted.reports
        ],
        "notices": [{"text": notice.text, "remedy": notice.remedy} for notice in trusted.notices],
    }
