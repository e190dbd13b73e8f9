from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

import devtls
from devtls.pki.authority import FOREIGN_NAME, Authority, issue_foreign_probe


def test_the_probe_is_signed_by_the_live_intermediate_for_five_minutes(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    probe = issue_foreign_probe(authority, now=now, key=leaf_key, serial=9)
    certificate = x509.load_pem_x509_certificates(probe.chain_pem)[0]
    assert probe.names == (FOREIGN_NAME,) == ("devtls-probe.invalid",)
    assert probe.usable(now)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(minutes=5)
    certificate.verify_directly_issued_by(authority.intermediate.certificate)
    assert not authority.permits(FOREIGN_NAME)


def test_only_the_trust_proof_imports_it() -> None:
    package = Path(devtls.__file__).parent
    importers = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"pki\.foreign|issue_foreign_probe|sign_leaf", path.read_text(encoding="utf-8"))
    }
    assert importers <= {"pki", "doctor"}
