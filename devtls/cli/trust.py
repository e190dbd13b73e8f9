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
from devtls.cli.ca_root_key import kept_root_key, required_root_key
from devtls.cli.store_view import (
    ask,
    is_wrapped,
    plan_text,
    refuse_without_terminal,
    result_json,
    setting_for_shell,
    show_table,
    store_rows,
)
from devtls.doctor.clients import CLIENTS, Client, Needs
from devtls.doctor.proof import Files, Foreign, Report, prove
from devtls.errors import Refused, StateError, TrustFailed
from devtls.names import DEFAULT_ZONES, Hostname, is_below, parse_zone
from devtls.pki.authority import Authority
from devtls.system.clientenv.files import renew_files
from devtls.system.clientenv.variables import BUNDLE_FILE, ROOT_FILE
from devtls.system.execute import ProcessRunner, write_atomically
from devtls.system.generation import NO_LOCKS
from devtls.system.keystore import Keystore
from devtls.system.paths import Paths, refuse_sudo
from devtls.system.suffixes import is_public_suffix
from devtls.system.truststore.bundle import write_extended_bundle, write_merged_bundle
from devtls.system.truststore.discovery import MACHINE_WIDE, AnyStore, Scope, find_stores, select_stores
from devtls.system.truststore.installer import Proposal, Result, as_planned, counts, install, propose_install
from devtls.system.truststore.machine import Machine
from devtls.system.truststore.nss_profiles import Notice, find_notices
from devtls.system.truststore.present import present_root
from devtls.system.truststore.protocol import Kind, Status
from devtls.system.truststore.record import Record
from devtls.system.truststore.root import RootCertificate, fingerprint_of

_ABSENT = "not trusted"


@dataclass(frozen=True)
class _Session:
    """What one run works with; everything is looked up once."""

    machine: Machine
    paths: Paths
    now: datetime
    as_json: bool
    system_wide: bool = False

    @cached_property
    def runner(self) -> ProcessRunner:
        return ProcessRunner(self.machine.elevation)

    @cached_property
    def keystore(self) -> Keystore:
        return Keystore(self.paths.state_dir)

    @cached_property
    def record(self) -> Record:
        return Record(self.paths.state_dir)

    @property
    def root_file(self) -> Path:
        return self.paths.state_dir / ROOT_FILE


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
    session = _Session(Machine.here(), Paths.from_environment(), datetime.now(UTC), as_json, system_wide)
    stores = _stores(session, names)
    existing = session.keystore.load(session.now) if session.keystore.exists() else None
    _check_zones(existing, wanted)
    if keep_root_key and existing is not None:
        required_root_key(session.keystore, existing)
    if dry_run:
        _show_dry_run(session, existing, wanted or DEFAULT_ZONES, stores)
    else:
        locks = kept_root_key(passphrase_fd) if keep_root_key and existing is None else NO_LOCKS
        authority = existing or session.keystore.load_or_create(wanted or DEFAULT_ZONES, session.now, locks)
        _check_zones(authority, wanted)  # a serve that was started at the same moment may have made the CA
        click.echo(_introduction(authority, made=existing is None), err=True)
        _trust(session, authority, stores, yes=yes)


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


def _stores(session: _Session, names: tuple[str, ...]) -> tuple[AnyStore, ...]:
    recorded = tuple(dict.fromkeys(entry.store for entry in session.record.entries()))
    scope = Scope.MACHINE if session.system_wide or any(name in MACHINE_WIDE for name in recorded) else Scope.USER
    return select_stores(find_stores(session.machine, session.runner, recorded=recorded, scope=scope), names)


def _show_dry_run(
    session: _Session, authority: Authority | None, zones: tuple[Hostname, ...], stores: tuple[AnyStore, ...]
) -> None:
    root = _root(authority, session.root_file) if authority else RootCertificate("ID", b"", session.root_file)
    proposals = propose_install(stores, root)
    elevation = session.machine.elevation
    if session.as_json:
        planned = [result_json(as_planned(proposal, elevation)) for proposal in proposals]
        shown = list(authority.zones if authority else zones)
        values = {"dry_run": True, "root": _root_json(authority), "zones": shown, "stores": planned}
        click.echo(json.dumps(values, indent=2))
        return
    if authority is None:
        click.echo(f"A CA would be made for {', '.join(zones)}; ID stands for its number.")
    click.echo("This would be done:\n\n" + plan_text(proposals, elevation, _ABSENT) + "\n\nNothing was changed.")


def _trust(session: _Session, authority: Authority, stores: tuple[AnyStore, ...], *, yes: bool) -> None:
    _write_root_file(session.root_file, authority.root_pem)
    root = _root(authority, session.root_file)
    renew_files(session.paths.state_dir, root)  # shells that devtls env prepared go on with this CA
    proposals = propose_install(stores, root)
    _announce(proposals, session)
    if any(proposal.plan for proposal in proposals) and not yes:
        ask("Go ahead?")
    results = tuple(_install(proposal, root, session) for proposal in proposals)
    reports = _prove(authority, root, session)
    _write_root_file(session.root_file, root.list_pem)  # with the older ones, which no store was to be given
    notices = (*_other_roots(proposals, root), *find_notices(session.machine))
    if session.as_json:
        click.echo(json.dumps(_json(authority, results, reports, notices), indent=2))
    else:
        _show(results, reports, notices)
    _judge(results, reports)


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


def _introduction(authority: Authority, *, made: bool) -> str:
    zones, until = ", ".join(authority.zones), authority.root.not_valid_after_utc
    verb = "Made" if made else "Using"
    fence = "and for nothing else" if authority.fenced else "and NOTHING LIMITS IT to them"
    return f"{verb} devtls root {authority.id}: it speaks for {zones}, {fence}, until {until:%Y-%m-%d}."


def _announce(proposals: Iterable[Proposal], session: _Session) -> None:
    if any(proposal.plan for proposal in proposals):
        plans = plan_text(proposals, session.machine.elevation, _ABSENT)
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
                holders.setdefault(other.nickname, []).append(proposal.store.label)
    remedy = "devtls untrust --all, then devtls trust: only the present one stays"
    return tuple(
        Notice(f"{nickname}, of an earlier or another CA, is still in: {', '.join(dict.fromkeys(labels))}.", remedy)
        for nickname, labels in holders.items()
    )


def _install(proposal: Proposal, root: RootCertificate, session: _Session) -> Result:
    elevation = session.machine.elevation
    if proposal.plan and (elevation or not proposal.plan.elevated):
        asks = f" ({elevation.name} may ask for your password)" if proposal.plan.elevated and elevation else ""
        click.echo(f"{printable(proposal.store.label)} …{asks if elevation and elevation.argv else ''}", err=True)
    return install(proposal, root, session.runner, elevation, session.record)


def _prove(authority: Authority, root: RootCertificate, session: _Session) -> tuple[Report, ...]:
    found = [(session.machine.user_tool(*client.names), client) for client in CLIENTS]
    clients = {tool: client for tool, client in found if tool is not None}
    writing = threading.Lock()

    def for_client(client: Client) -> Path | None:
        with writing:
            return _file_for(client, root, session)

    return prove(authority, clients, Files(session.paths.state_dir, for_client), session.runner, session.now)


def _file_for(client: Client, root: RootCertificate, session: _Session) -> Path | None:
    """Return the file that the client's variable shall name; what it names already stays in force."""
    folder = session.paths.state_dir
    named = Path(os.environ.get(client.variable, ""))
    if named.is_file() and named not in (session.root_file, folder / BUNDLE_FILE):
        return write_extended_bundle(folder / f"ca-bundle-{client.variable}.pem", root, named)
    if client.needs is Needs.ROOT:
        return session.root_file
    return write_merged_bundle(folder / BUNDLE_FILE, root, session.machine.root)


def _show(results: tuple[Result, ...], reports: tuple[Report, ...], notices: tuple[Notice, ...]) -> None:
    show_table(("Store", "State", "Remedy"), store_rows(results, _ABSENT))
    if reports:
        click.echo("")
        rows = [(report.client, _proof_text(report), _foreign_text(report)) for report in reports]
        show_table(("Client", "Proof", "A name outside the zones"), rows)
        _advise_variables(reports)
    for by_hand in dict.fromkeys(result.by_hand for result in results if result.by_hand):
        click.echo(f"\nBy hand: {by_hand}", err=True)
    completing = dict.fromkeys(result.state.remedy for result in results if result.state.status is Status.NO_TOOL)
    if completing:
        click.echo(f"\nTo complete it: {printable('; '.join(completing))}.", err=True)
    for notice in notices:
        click.echo(f"\n{printable(notice.text)}\n  try: {notice.remedy}", err=True)
    if any(result.changed and result.kind is Kind.BROWSER for result in results):
        click.echo("\nRestart browsers that are open. Next: devtls serve app=3000", err=True)


def _proof_text(report: Report) -> str:
    """Return the verdict; a terminal's column would break a path in the middle, and the whole line stands below."""
    if report.setting and is_wrapped():
        return str(report).replace(report.setting, f"{report.setting.partition('=')[0]}=…")
    return str(report)


def _advise_variables(reports: Iterable[Report]) -> None:
    """Say how to make a variable that a client needed stay."""
    needed = [report for report in reports if report.setting]
    if needed:
        lines = "\n".join(f"  export {setting_for_shell(setting)}" for setting in {r.setting: None for r in needed})
        *others, last = [report.client for report in needed]
        clients = f"{', '.join(others)} and {last}" if others else last
        click.echo(f"\nFor {clients}, add this to your shell's profile (~/.profile):\n\n{lines}", err=True)
        click.echo('\nOr, for these and every other tool with a list of its own: eval "$(devtls env)"', err=True)


def _foreign_text(report: Report) -> str:
    match report.foreign:
        case Foreign.REFUSED_FOR_NAME:
            return "refused"
        case Foreign.REFUSED_OTHERWISE:
            return f"refused: {report.foreign_why}"
        case Foreign.ACCEPTED:
            return "ACCEPTED"
        case Foreign.NOT_TRIED:
            return "not tried"


def _judge(results: tuple[Result, ...], reports: tuple[Report, ...]) -> None:
    fooled = [report.client for report in reports if report.foreign is Foreign.ACCEPTED]
    if fooled:
        raise TrustFailed(
            f"{' and '.join(fooled)} accepted a certificate for a name outside the zones.",
            hint="look for a setting that turns its checks off (insecure in .curlrc, NODE_TLS_REJECT_UNAUTHORIZED), "
            "then devtls trust again; devtls untrust takes the root back",
        )
    if not counts(results):
        remedies = [result.state.remedy for result in results if result.state.remedy]
        raise TrustFailed(
            "Neither the system's store nor a browser's trusts the root.",
            hint=remedies[0] if remedies else "devtls trust without --store",
        )


def _root_json(authority: Authority | None) -> dict[str, object] | None:
    if authority is None:
        return None
    until = authority.root.not_valid_after_utc.isoformat()
    return {"id": authority.id, "sha256": authority.fingerprint, "zones": list(authority.zones), "not_after": until}


def _json(
    authority: Authority, results: tuple[Result, ...], reports: tuple[Report, ...], notices: tuple[Notice, ...]
) -> dict[str, object]:
    return {
        "dry_run": False,
        "root": _root_json(authority),
        "trusted": counts(results),
        "stores": [result_json(result) for result in results],
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
            for report in reports
        ],
        "notices": [{"text": notice.text, "remedy": notice.remedy} for notice in notices],
    }
