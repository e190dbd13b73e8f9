from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.system.changes.truststore.other_tools import TOOLS, other_roots
from devtls.system.changes.truststore.root import RootCertificate, fingerprint_of
from tests.system.changes.truststore.foreign_roots import make_foreign_root

KNOWN = [
    ("mkcert", "mkcert somebody@laptop (Some Body)", "mkcert development CA"),
    ("caddy", "Caddy Local Authority - 2026 ECC Root", ""),
    ("portless", "portless Local CA", ""),
    ("devcert", "devcert", ""),
    ("puma-dev", "Puma-dev CA", "Developer Certificate"),
    ("puma-dev", "Puma-dev CA (1234567890)", "Developer Certificate"),
]


@pytest.mark.parametrize(("tool", "common_name", "organisation"), KNOWN)
def test_a_root_is_told_by_what_its_tool_calls_it(tool: str, common_name: str, organisation: str) -> None:
    der = make_foreign_root(common_name, organisation, form=Encoding.DER)
    (found,) = other_roots([der, der])
    assert (found.tool, found.name, found.fingerprint) == (tool, common_name, fingerprint_of(der))
    assert tool in TOOLS


@pytest.mark.parametrize(
    ("common_name", "organisation", "issuer"),
    [
        ("mkcert somebody@laptop", "", ""),
        ("somebody", "mkcert development CA", ""),
        ("Caddy Local Authority - ECC Intermediate", "", ""),
        ("Caddy Local Authority - 2026 ECC Root", "", "Somebody else"),
        ("devcert", "devcert", ""),
        ("devcert of a company", "", ""),
        ("Puma-dev CA", "", ""),
    ],
)
def test_what_only_resembles_one_is_none(common_name: str, organisation: str, issuer: str) -> None:
    assert other_roots([make_foreign_root(common_name, organisation, issuer=issuer, form=Encoding.DER)]) == ()


def test_a_root_of_ours_and_rubbish_are_none(root: RootCertificate) -> None:
    assert other_roots([root.der, b"", b"0devcert", b"mkcert development CA"]) == ()
