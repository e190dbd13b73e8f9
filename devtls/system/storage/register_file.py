"""The files behind a CA's register: its lines, and the CRL that is signed from them.

Owns `register.jsonl` and the CRLs of the intermediates in the CA's directory. Refuses to write to a register of a later
version.
Strategy: lines are only ever added, one write and one fsync each, under the key store's lock. A crash leaves a line
whole or unfinished; an unfinished one never counted, since the certificate was not handed out yet, and the next writer
cuts it off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import CertificateError
from devtls.pki.authority import Authority
from devtls.pki.intermediate import Intermediate
from devtls.pki.register import Event, History, parse_register, render_event, whole_lines
from devtls.pki.revocation import crl_number, entries_for, is_due, load_crl, says_the_same
from devtls.system.machine.private_files import append_private_file, read_private_file, replace_private_file
from devtls.system.storage.ca_directory import REGISTER, crl_file


def read_history(directory: Path) -> History:
    """Return what the register in a CA's directory says; one that is not there yet says nothing."""
    path = directory / REGISTER
    try:
        return parse_register(read_private_file(path), str(path))
    except FileNotFoundError:
        return History()


def append_event(directory: Path, event: Event) -> None:
    """Add a line and put it on disk; the caller holds the key store's lock."""
    append_events(directory, [event])


def append_events(directory: Path, events: Iterable[Event]) -> None:
    """Add lines and put them on disk; the caller holds the key store's lock."""
    lines = b"".join(render_event(event) for event in events)
    if not lines:
        return
    path = directory / REGISTER
    try:
        content = read_private_file(path)
    except FileNotFoundError:
        content = b""
    parse_register(content, str(path))  # a later devtls's register is not ours to write to
    # A crash left it unfinished, so its certificate was never handed out; ours would be joined to it.
    if whole_lines(content) < len(content):
        os.truncate(path, whole_lines(content))
    append_private_file(path, lines)


def current_crl(directory: Path, authority: Authority, issuer: Intermediate, now: datetime) -> bytes:
    """Return an intermediate's CRL (DER), signed anew when it is due or the register says more than it.

    The caller holds the key store's lock. The number grows from one CRL to the next.
    """
    path, history = directory / crl_file(issuer.name), read_history(directory)
    last, signed = read_crl(path, issuer), authority.serials_of(issuer, history)
    if last is not None and not is_due(last, now) and says_the_same(last, history, signed):
        return last.public_bytes(Encoding.DER)
    # With the last CRL its number is gone: the seconds since 1970 are above every number counted so far.
    number = int(now.timestamp()) if last is None else crl_number(last) + 1
    entries = entries_for(history, last, signed)
    der = authority.intermediate_crl(number=number, this_update=now, revoked=entries, issuer=issuer)
    replace_private_file(path, der)
    return der


def read_crl(path: Path, issuer: Intermediate) -> x509.CertificateRevocationList | None:
    """Return the CRL in the file, or None when there is none that the intermediate signed."""
    try:
        crl = load_crl(read_private_file(path))
    except (FileNotFoundError, CertificateError):
        return None
    return crl if crl.is_signature_valid(issuer.key.public_key()) else None
