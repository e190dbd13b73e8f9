"""Roots that other development tools left behind: recognised and named, never touched unless asked for.

Owns one row per tool: what its root calls itself, as read in the tools' sources. Refuses to go by the name alone: the
certificate must have signed itself, since anybody's intermediate could bear any name. Such a root can speak for every
site, and its key lies on a disk, so whoever no longer needs the tool should know that it is still trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from devtls.system.changes.truststore.root import fingerprint_of


@dataclass(frozen=True, slots=True)
class _Tool:
    """`mark` is in the bytes of each of its roots (a quick no for all others); None = there is no organisation."""

    name: str
    mark: bytes
    common_name: re.Pattern[str]
    organisation: str | None = None


_TOOLS = (
    _Tool("mkcert", b"mkcert development CA", re.compile(r"mkcert .+"), "mkcert development CA"),
    _Tool("caddy", b"Caddy Local Authority", re.compile(r"Caddy Local Authority - \d{4} ECC Root")),
    _Tool("portless", b"portless Local CA", re.compile(r"portless Local CA")),
    _Tool("devcert", b"devcert", re.compile(r"devcert")),
    _Tool("puma-dev", b"Puma-dev CA", re.compile(r"Puma-dev CA( \(\d+\))?"), "Developer Certificate"),
)
TOOLS = tuple(tool.name for tool in _TOOLS)
"""What `--also` takes."""


@dataclass(frozen=True, slots=True)
class OtherRoot:
    """A root that `tool` made; `name` is its common name, text from a certificate."""

    tool: str
    name: str
    fingerprint: str


def other_roots(certificates: Iterable[bytes]) -> tuple[OtherRoot, ...]:
    """Return those of these certificates that are roots of a known tool, none twice."""
    found = {root.fingerprint: root for der in certificates if (root := _recognise(der))}
    return tuple(found.values())


def _recognise(der: bytes) -> OtherRoot | None:
    for tool in _TOOLS:
        if tool.mark in der:
            name = _name_of_root(der, tool)
            if name is not None:
                return OtherRoot(tool.name, name, fingerprint_of(der))
    return None


def _name_of_root(der: bytes, tool: _Tool) -> str | None:
    try:
        certificate = x509.load_der_x509_certificate(der)
        common, organisation = (
            [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]
            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        )
        # Whole and alone: a name that merely contains a tool's could be anybody's.
        if len(common) != 1 or not tool.common_name.fullmatch(common[0]):
            return None
        if organisation != ([tool.organisation] if tool.organisation else []):
            return None
        # Only what signed itself is a root: any CA could name an intermediate so.
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return None
    return common[0]
