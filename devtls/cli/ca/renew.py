"""`devtls ca renew`: a new CA beside the present one, trusted wherever that one is, which signs from then on.

Owns the order: make, show, ask once, have the new root trusted, list both roots in the files of `devtls env`, and only
then let the new CA sign. A crash anywhere leaves a CA that signs and is trusted; the next run goes on from there.
Refuses to switch while a store that holds the present root does not trust the new one. The present root stays trusted
until `devtls ca retire`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import click

from devtls.cli.ca.rollover import Rollover, root_json, tell_running
from devtls.cli.ca.root_key import kept_root_key
from devtls.cli.terminal.change_view import change_json, change_rows, plan_text
from devtls.cli.terminal.prompts import ask
from devtls.cli.terminal.table import show_table
from devtls.errors import Refused, TrustFailed
from devtls.names import Hostname, is_below, parse_zone
from devtls.pki.authority import Authority
from devtls.system.changes.change import Kind, Status
from devtls.system.changes.engine import Proposal, Result, apply, as_planned
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.changes.truststore.store import propose_trust
from devtls.system.machine.suffixes import is_public_suffix
from devtls.system.storage.ca_directory import ROOT, Locks
from devtls.system.storage.keystore import Keystore

_ABSENT = "not trusted"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    yes: bool = False
    dry_run: bool = False
    as_json: bool = False
    anyway: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of it; `told` are the processes that sign with the new CA now."""

    present: Authority
    following: Authority
    results: tuple[Result, ...]
    switched: bool
    told: tuple[int, ...]
    now: datetime


@click.command(name="renew", short_help="Make a new CA that takes over, the old root staying trusted.")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="A zone that the new CA has besides (repeatable).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--anyway", is_flag=True, help="Switch although a store does not take the new root.")
@click.option("--keep-root-key", is_flag=True, help="Keep the new root's key, under a passphrase: for teams.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read that passphrase from this descriptor.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    zones: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    anyway: bool,
    keep_root_key: bool,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Make a new CA that takes over from the present one, before that one ends or for one more zone.

    The new root is put into every store that has the present one; only then does the new CA sign, and a running
    devtls serve takes it over while connections go on. The old root stays trusted until devtls ca retire.
    """
    wish = Wish(yes, dry_run, as_json, anyway)
    wanted = tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones)
    rollover = Rollover.begin("ca renew", asks=not (yes or dry_run))
    present = rollover.keystore.load_ended_too()
    every = _zones(present, wanted)
    if dry_run:
        _show_dry_run(rollover, present, every, wish)
    else:
        kept = kept_root_key(passphrase_fd).root if keep_root_key else None
        locks = Locks(kept, rollover.keystore.lock_like(present))
        take_over(rollover, present, rollover.keystore.prepare_next(every, rollover.now, locks), wish)


def _zones(present: Authority, wanted: tuple[Hostname, ...]) -> tuple[Hostname, ...]:
    fresh = [zone for zone in wanted if not any(is_below(zone, own) for own in present.zones)]
    if wanted and not fresh:
        raise Refused(
            f"The CA speaks for {', '.join(present.zones)}, so for {', '.join(wanted)} already.",
            hint="devtls ca renew without --zone makes a new one all the same",
        )
    return tuple(dict.fromkeys((*present.zones, *fresh)))


def _holders(rollover: Rollover, present: Authority, root: RootCertificate) -> tuple[Proposal, ...]:
    """Return a proposal for each store that has, or once got, the present root."""
    recorded = {entry.store for entry in rollover.entries if entry.fingerprint == present.fingerprint}

    held = RootCertificate(present.id, present.root_der, rollover.keystore.state_dir / ROOT)

    def holds(proposal: Proposal) -> bool:
        state = proposal.change.state(proposal.facts, held)
        return state.status is Status.APPLIED or (
            proposal.change.name in recorded and state.status is not Status.ABSENT
        )

    return tuple(proposal for proposal in propose_trust(rollover.stores(), root) if holds(proposal))


def _show_dry_run(rollover: Rollover, present: Authority, zones: tuple[Hostname, ...], wish: Wish) -> None:
    root = RootCertificate("ID", b"", rollover.keystore.state_dir / "ca-ID" / ROOT)
    proposals, elevation = _holders(rollover, present, root), rollover.machine.elevation
    if wish.as_json:
        planned = [change_json(as_planned(proposal, elevation)) for proposal in proposals]
        values = {"dry_run": True, "older": root_json(present), "zones": list(zones), "stores": planned}
        click.echo(json.dumps(values, indent=2))
        return
    click.echo(f"A CA would be made for {', '.join(zones)}, beside devtls root {present.id}; ID stands for its number.")
    if proposals:
        click.echo(f"This would be done:\n\n{plan_text(proposals, elevation, _ABSENT)}\n")
    click.echo("Then it would sign. Nothing was changed.")


def take_over(rollover: Rollover, present: Authority, following: Authority, wish: Wish) -> None:
    """Have the root of the prepared `following` trusted wherever the present one is, then let it sign.

    Raises Refused when the answer is no, TrustFailed when a store does not take it.
    """
    directory = rollover.keystore.directory_of(following)
    older = tuple(der for der in (present.root_der, *_ders_before(rollover)) if der != following.root_der)
    root = RootCertificate(following.id, following.root_der, directory / ROOT, older)
    until = f"{following.not_after:%Y-%m-%d}"
    verb = "Imported" if following.imported else "Made"
    click.echo(f"{verb} devtls root {following.id} for {', '.join(following.zones)}, until {until}.", err=True)
    proposals = _holders(rollover, present, root)
    _announce(rollover, proposals, following, wish)
    results = tuple(_apply(rollover, proposal) for proposal in proposals)
    missing = tuple(result for result in results if result.state.status is not Status.APPLIED)
    switched = wish.anyway or not missing
    if switched:
        rollover.list_roots(root)
        rollover.keystore.switch_to_next(following)
    outcome = _Outcome(present, following, results, switched, tell_running() if switched else (), rollover.now)
    if wish.as_json:
        _show_json(outcome)
    else:
        _show(outcome, loses_key=_loses_key(rollover.keystore, present, following))
    if not switched:
        raise _not_taken(missing)


def _ders_before(rollover: Rollover) -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding

    return tuple(root.public_bytes(Encoding.DER) for root in rollover.keystore.older_roots())


def _announce(rollover: Rollover, proposals: tuple[Proposal, ...], following: Authority, wish: Wish) -> None:
    if any(proposal.plan for proposal in proposals):
        plans = plan_text(proposals, rollover.machine.elevation, _ABSENT)
        click.echo(f"This will be done, and then it signs:\n\n{plans}\n", err=True)
    elif not proposals:
        click.echo("No store has the present root, so none gets the new one: devtls trust does that.", err=True)
    if wish.yes:
        return
    try:
        ask("Go ahead?")
    except Refused:
        if all(entry.fingerprint != following.fingerprint for entry in rollover.entries):
            rollover.keystore.drop_next()  # no store was ever given it
        raise


def _apply(rollover: Rollover, proposal: Proposal) -> Result:
    rollover.say_begin(proposal)
    return apply(proposal, rollover.executor)


def _show_json(outcome: _Outcome) -> None:
    values = {
        "dry_run": False,
        "switched": outcome.switched,
        "root": root_json(outcome.following),
        "older": root_json(outcome.present),
        "stores": [change_json(result) for result in outcome.results],
        "taken_over_by": list(outcome.told),
    }
    click.echo(json.dumps(values, indent=2))


def _show(outcome: _Outcome, *, loses_key: bool) -> None:
    present, following, results = outcome.present, outcome.following, outcome.results
    if results:
        show_table(("Store", "State", "Remedy"), change_rows(results, _ABSENT))
    if not outcome.switched:
        return
    click.echo(f"\ndevtls root {following.id} signs from now on.", err=True)
    for pid in outcome.told:
        click.echo(f"devtls serve (process {pid}) has taken it over.", err=True)
    click.echo(_fate(present, outcome.now), err=True)
    if loses_key:
        click.echo(
            "The key of the root before was kept, the new one's is not: it signs no further intermediates.\n"
            "If it should: devtls ca renew --keep-root-key",
            err=True,
        )
    if any(result.changed and result.kind is Kind.BROWSER for result in results):
        click.echo("Restart browsers that are open. Phones and containers need the new root, too.", err=True)


def _fate(before: Authority, now: datetime) -> str:
    end = f"{before.not_after:%Y-%m-%d}"
    if before.not_after <= now:
        return f"devtls root {before.id} ended on {end}; out of the stores it goes by: devtls ca retire"
    return f"devtls root {before.id} stays trusted until {end}, or until: devtls ca retire"


def _loses_key(keystore: Keystore, present: Authority, following: Authority) -> bool:
    return keystore.root_key_file(present) is not None and keystore.root_key_file(following) is None


def _not_taken(missing: tuple[Result, ...]) -> TrustFailed:
    names = ", ".join(result.label for result in missing)
    verb = "do" if len(missing) > 1 else "does"
    remedies = [result.state.remedy.rstrip(".") for result in missing if result.state.remedy]
    first = f"{remedies[0]}, then devtls ca renew goes on" if remedies else "devtls ca renew tries again"
    return TrustFailed(
        f"{names} {verb} not trust the new root, so the present CA goes on signing.",
        hint=f"{first}; --anyway does without, devtls ca retire takes the new root back",
    )
