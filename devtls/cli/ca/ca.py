"""`devtls ca`: the status of the development CA, and the group of commands about it.

Owns the wording of the status and its JSON shape.
"""

from __future__ import annotations

from datetime import datetime

import click
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from devtls.cli.ca import export as ca_export
from devtls.cli.ca import import_ as ca_import
from devtls.cli.ca import intermediate as ca_intermediate
from devtls.cli.ca import lock as ca_lock
from devtls.cli.ca import renew as ca_renew
from devtls.cli.ca import retire as ca_retire
from devtls.cli.ca import root_key as ca_root_key
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import paint, print_json, wrapped
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.daemon.console.style import BOLD
from devtls.doctor.health.finding import counted
from devtls.operations.ca import CaDetails, ca_details
from devtls.operations.config_choice import report_mistake
from devtls.operations.context import Context
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import common_name
from devtls.pki.leaf import crl_url

_LABEL_WIDTH = 16
_FOR = {"server": "For servers", "client": "For clients", "any": "Intermediate"}
_UNBROKEN = frozenset({"SHA-256", "SHA-1", "Files", "Page"})  # what is broken in two cannot be copied


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show the development CA: zones, dates, fingerprints, files, and what an attacker could do with them."""
    if ctx.invoked_subcommand is not None:
        return
    context = Context.here(TerminalReporter())
    report_mistake(context.paths, context.reporter)
    status = ca_details(context)
    if as_json:
        print_json(status_json(status, context.now))
    else:
        click.echo(status_text(status, context.now))


for each in (ca_export, ca_import, ca_intermediate, ca_renew, ca_root_key, ca_retire):
    command.add_command(each.command)
command.add_command(ca_lock.lock_command)
command.add_command(ca_lock.unlock_command)


def status_json(status: CaDetails, now: datetime) -> dict[str, object]:
    """Return the status as JSON values."""
    authority = status.authority
    root = authority.root
    return {
        "id": authority.id,
        "name": printable(common_name(root)),
        "zones": list(authority.zones),
        "not_before": root.not_valid_before_utc.isoformat(),
        "not_after": authority.not_after.isoformat(),
        "days_left": (authority.not_after - now).days,
        "sha256": authority.fingerprint,
        "sha1": root.fingerprint(SHA1()).hex(),  # noqa: S303 - keychains name certificates by it
        "intermediate": printable(common_name(authority.intermediate.certificate)),
        "folder": str(status.directory),
        "pki_port": authority.pki_port,
        "page": status.page,
        "root_crl": crl_url(authority.pki_port, authority.root_crl_path),
        "intermediate_crl": crl_url(authority.pki_port, authority.intermediate_crl_path),
        "intermediates": [
            {
                "id": each.id,
                "purpose": each.purpose,
                "name": printable(common_name(each.certificate)),
                "not_after": each.certificate.not_valid_after_utc.isoformat(),
                "crl": crl_url(authority.pki_port, authority.crl_path_of(each)),
            }
            for each in authority.intermediates
        ],
        "renewal_brings": list(authority.profile_gaps),
        "imported": authority.imported,
        "fenced": authority.name_constrained,
        "root_key_kept": status.root_key_kept,
        "locked": status.locked,
        "older": [
            {"id": entry.root_id, "sha256": entry.root_sha256, "not_after": _iso(entry.not_after)}
            for entry in status.older
        ],
    }


def status_text(status: CaDetails, now: datetime) -> str:
    """Return the status for people."""
    authority = status.authority
    root, zones = authority.root, ", ".join(authority.zones)
    dates = f"{root.not_valid_before_utc:%Y-%m-%d} to {authority.not_after:%Y-%m-%d}"
    facts = {
        "Name": printable(common_name(root)),
        "Zones": f"{zones} (each name and everything below it), and the loopback addresses",
        "Valid": f"{dates} ({counted((authority.not_after - now).days, 'day')} left)",
        "SHA-256": _fingerprint(root, SHA256()),
        "SHA-1": _fingerprint(root, SHA1()),  # noqa: S303 - keychains name certificates by it
        **{_FOR[each.purpose]: printable(common_name(each.certificate)) for each in authority.intermediates},
        "Files": str(status.directory),
        "Page": f"{status.page} (while devtls serve runs: the root, and how other devices trust it)",
    }
    if authority.profile_gaps:
        facts["It lacks"] = f"what a new CA has (devtls ca renew): {' '.join(authority.profile_gaps)}"
    if status.older:
        ids = ", ".join(entry.root_id for entry in status.older)
        facts["Before it"] = f"devtls root {ids}, trusted until: devtls ca retire"
    return "\n".join(
        [
            paint("The development CA of this machine", BOLD),
            _rows(facts),
            "",
            paint("An attacker who copies these files", BOLD),
            _rows(_attacker(status)),
        ]
    )


def _attacker(status: CaDetails) -> dict[str, str]:
    authority = status.authority
    facts = {
        "Can": f"pose as any name in {', '.join(authority.zones)}, and as 127.0.0.1 and ::1, to whatever trusts this "
        f"root; {_about_clients(authority)}",
        "Cannot": "pose as any other site, or make another CA that works: the limits are in the certificates, "
        f"and {_about_root_key(status)}",
        "The remedy": "devtls ca renew, then devtls ca retire: a new CA takes over, and this machine does not trust "
        "the stolen one any more. It was not revoked by that: remove its root from other devices too.",
    }
    if not authority.name_constrained:
        facts = {
            "Can": "pose as any site on earth to whatever trusts this root: it was imported, NOTHING LIMITS IT.",
            "The remedy": "devtls ca renew, then devtls ca retire: a CA that is limited takes over here. The maker of "
            "this one must revoke it, and every device that trusts its root must stop.",
        }
    if status.locked:
        facts["Can"] = "do nothing, unless they find out the passphrase of the key."
    return facts


def _about_clients(authority: Authority) -> str:
    if any("URIs" in gap for gap in authority.profile_gaps):
        return "and make client certificates with any mail address, URI or common name."
    return "and make client certificates with any common name (routes with client_auth refuse those)."


def _about_root_key(status: CaDetails) -> str:
    if status.authority.imported:
        return "the root's key is elsewhere."
    if status.root_key_kept:
        return "the root's key is encrypted under a passphrase that costs much to guess (scrypt)."
    return "the root's key was dropped when the CA was made. It was never on disk."


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _rows(facts: dict[str, str]) -> str:
    rows = []
    for label, text in facts.items():
        head = f"  {label:<{_LABEL_WIDTH - 2}}"
        rows += [head + text] if label in _UNBROKEN else wrapped(text, head, " " * _LABEL_WIDTH)
    return "\n".join(rows)


def _fingerprint(certificate: x509.Certificate, algorithm: HashAlgorithm) -> str:
    return certificate.fingerprint(algorithm).hex(":").upper()
