"""`devtls ca import --crl FILE` alone: a later revocation list of the root, from the machine that has the root's key.

Owns what is said when this machine's own CA stands on it. Refuses what `pki.root_list` refuses; the list before stays
then.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import click

from devtls.cli.ca.rollover import root_json
from devtls.pki.crl_files import newer_root_crl
from devtls.pki.leaf import crl_url
from devtls.pki.revocation import crl_number, load_crl
from devtls.system.storage.keystore import Keystore

if TYPE_CHECKING:
    from devtls.pki.authority import Authority


def take_list(keystore: Keystore, content: bytes, now: datetime, *, as_json: bool) -> None:
    """Publish the list in a file from now on. Raises DevtlsError."""
    authority = keystore.load(now)
    with keystore.writing(authority):
        der = newer_root_crl(content, authority.root, keystore.root_crl(authority))
        keystore.put_root_crl(authority, der)
    _show(keystore.load(now), crl_number(load_crl(der)), as_json=as_json)


def _show(authority: Authority, number: int, *, as_json: bool) -> None:
    url = crl_url(authority.pki_port, authority.root_crl_path)
    entry = authority.withdrawn
    if as_json:
        values = {"root": root_json(authority), "list": {"url": url, "number": number}, "revoked": entry is not None}
        click.echo(json.dumps(values, indent=2))
    else:
        click.echo(f"List number {number} of devtls root {authority.id}: devtls serve publishes it at {url}", err=True)
    if entry is not None:
        click.echo(
            f"{authority.withdrawn_in_words}\nAsk for another (devtls ca import), or make your own: devtls ca renew",
            err=True,
        )
