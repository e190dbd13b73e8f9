"""`devtls ca`: the development CA in words, and its certificates as files.

Owns what a person is told about the CA and what may leave it. Refuses to hand out the key: there is no option for it.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.cli import printable
from devtls.cli.ca import import_ as ca_import
from devtls.cli.ca import intermediate as ca_intermediate
from devtls.cli.ca import lock as ca_lock
from devtls.cli.ca import renew as ca_renew
from devtls.cli.ca import retire as ca_retire
from devtls.cli.ca import root_key as ca_root_key
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.errors import Refused, StateError
from devtls.pki.apple_profile import apple_profile
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import common_name
from devtls.pki.leaf import crl_url
from devtls.system.machine.paths import Paths
from devtls.system.storage.ca_directory import IMPORT, KEY, ROOT_KEY
from devtls.system.storage.generation import is_locked_file
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.pointer import PointerEntry

_LABEL_WIDTH = 16
_TEXT_WIDTH = 100
_UNBROKEN = frozenset({"SHA-256", "SHA-1", "Files", "Page"})  # what is broken in two cannot be copied


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show the development CA: zones, dates, fingerprints, files, and what a thief could do with it."""
    if ctx.invoked_subcommand is not None:
        return
    keystore, now = Keystore(Paths.from_environment().state_dir, terminal_passphrases()), datetime.now(UTC)
    authority = keystore.load(now)
    directory, pointer = keystore.directory_of(authority), keystore.pointer()
    older = pointer.older if pointer else ()
    if as_json:
        click.echo(json.dumps(describe(authority, directory, now, older), indent=2))
    else:
        click.echo(in_words(authority, directory, now, older))


command.add_command(ca_import.command)
command.add_command(ca_intermediate.command)
command.add_command(ca_lock.lock_command)
command.add_command(ca_lock.unlock_command)
command.add_command(ca_renew.command)
command.add_command(ca_root_key.command)
command.add_command(ca_retire.command)


@command.command(short_help="Write the root certificate (never a key).")
@click.option("--out", default="-", metavar="FILE", help="Where to write it; - is standard output (the default).")
@click.option(
    "--format", "form", type=click.Choice(["pem", "der"]), default="pem", show_default=True, help="The encoding."
)
@click.option("--mobileconfig", is_flag=True, help="The root as a profile for iPhone, iPad and Mac.")
@click.option("--intermediate", "what", flag_value="intermediate", help="The intermediate instead of the root.")
@click.option("--chain", "what", flag_value="chain", help="Intermediate and root in one PEM file.")
@click.option("--crl", "what", flag_value="crl", help="The revocation lists of both, as they are now, in one PEM file.")
def export(*, out: str, form: str, mobileconfig: bool, what: str | None) -> None:
    """Write the root certificate (never a key), for a phone, a container or a tool with a list of its own."""
    if what in ("chain", "crl") and form == "der":
        raise click.UsageError(f"DER holds one certificate or list: --{what} needs --format pem.")
    if mobileconfig and (what or form == "der"):
        raise click.UsageError("A profile holds the root, in a format of its own: --mobileconfig stands alone.")
    keystore, now = Keystore(Paths.from_environment().state_dir, terminal_passphrases()), datetime.now(UTC)
    authority = keystore.load(now)
    if mobileconfig:
        content = apple_profile(authority.root_der, authority.id)
    elif what == "crl":
        content = _lists(keystore, (authority, *keystore.load_older(now)), now)
    else:
        content = _exported(authority, what or "root", Encoding.PEM if form == "pem" else Encoding.DER)
    if out != "-":
        _write(Path(out), content)
    elif form == "der" and _is_terminal():
        raise Refused("DER is binary, and this is a terminal.", hint="devtls ca export --format der --out root.cer")
    else:
        click.echo(content, nl=False)


def _exported(authority: Authority, what: str, encoding: Encoding) -> bytes:
    certificates = {
        "root": [authority.root],
        "intermediate": [authority.intermediate.certificate],
        "chain": list(authority.path),
    }
    return b"".join(certificate.public_bytes(encoding) for certificate in certificates[what])


def _lists(keystore: Keystore, authorities: Iterable[Authority], now: datetime) -> bytes:
    found = [der for each in authorities for der in (keystore.next_crl(each, now), each.root_crl_der)]
    return b"".join(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in found if der)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.", path=str(path), hint="name another file with --out"
        ) from error
    click.echo(f"Written to {path}.", err=True)


def describe(
    authority: Authority, directory: Path, now: datetime, older: Sequence[PointerEntry] = ()
) -> dict[str, object]:
    """Return everything that `devtls ca` knows, as JSON values."""
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
        "folder": str(directory),
        "pki_port": authority.pki_port,
        "page": _page(authority),
        "root_crl": crl_url(authority.pki_port, authority.root_crl_path),
        "intermediate_crl": crl_url(authority.pki_port, authority.intermediate_crl_path),
        "imported": authority.imported,
        "fenced": authority.name_constrained,
        "root_key_kept": (directory / ROOT_KEY).exists(),
        "locked": is_locked_file(directory / KEY),
        "older": [
            {"id": entry.root_id, "sha256": entry.root_sha256, "not_after": _iso(entry.not_after)} for entry in older
        ],
    }


def in_words(authority: Authority, directory: Path, now: datetime, older: Sequence[PointerEntry] = ()) -> str:
    """Return the page that `devtls ca` prints."""
    root, zones = authority.root, ", ".join(authority.zones)
    dates = f"{root.not_valid_before_utc:%Y-%m-%d} to {authority.not_after:%Y-%m-%d}"
    facts = {
        "Name": printable(common_name(root)),
        "Zones": f"{zones} (each name and everything below it), and the loopback addresses",
        "Valid": f"{dates} ({(authority.not_after - now).days} days left)",
        "SHA-256": _fingerprint(root, SHA256()),
        "SHA-1": _fingerprint(root, SHA1()),  # noqa: S303 - keychains name certificates by it
        "Files": str(directory),
        "Page": f"{_page(authority)} (while devtls serve runs: the root, and how other devices trust it)",
    }
    if older:
        ids = ", ".join(entry.root_id for entry in older)
        facts["Before it"] = f"devtls root {ids}, trusted until: devtls ca retire"
    thief = _thief(authority, directory)
    return "\n".join(
        [
            click.style("The development CA of this machine", bold=True),
            _rows(facts),
            "",
            click.style("Somebody who copies these files", bold=True),
            _rows(thief),
        ]
    )


def _thief(authority: Authority, directory: Path) -> dict[str, str]:
    zones = ", ".join(authority.zones)
    facts = {
        "They can": f"pose as any name in {zones}, and as 127.0.0.1 and ::1, to whatever trusts this root.",
        "They cannot": "pose as any other site, or make another CA that works: the limits are in the certificates, "
        f"and {_about_root_key(directory)}",
        "The remedy": "devtls ca renew, then devtls ca retire: a new CA takes over, and this machine does not trust "
        "the stolen one any more. It was not revoked by that: remove its root from other devices too.",
    }
    if not authority.name_constrained:
        facts = {
            "They can": "pose as any site on earth to whatever trusts this root: it was imported, NOTHING LIMITS IT.",
            "The remedy": "devtls ca renew, then devtls ca retire: a CA that is limited takes over here. Whoever made "
            "this one must revoke it, and every device that trusts its root must stop.",
        }
    if is_locked_file(directory / KEY):
        facts["They can"] = "do nothing, unless they find out the passphrase that the key lies under."
    return facts


def _about_root_key(directory: Path) -> str:
    if (directory / IMPORT).exists():
        return "the root's key is elsewhere."
    if (directory / ROOT_KEY).exists():
        return "the root's key lies under a passphrase that costs much to guess (scrypt)."
    return "the root's key was dropped when the CA was made. It was never on disk."


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _page(authority: Authority) -> str:
    return f"http://127.0.0.1:{authority.pki_port}/"


def _rows(facts: dict[str, str]) -> str:
    rows = []
    for label, text in facts.items():
        lines = textwrap.wrap(text, _TEXT_WIDTH - _LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)
        if label in _UNBROKEN:
            lines = [text]
        rows += [f"  {label:<{_LABEL_WIDTH - 2}}{lines[0]}", *(" " * _LABEL_WIDTH + line for line in lines[1:])]
    return "\n".join(rows)


def _fingerprint(certificate: x509.Certificate, algorithm: HashAlgorithm) -> str:
    return certificate.fingerprint(algorithm).hex(":").upper()
