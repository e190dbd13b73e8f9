"""What is said of clients that are not let in: OpenSSL's own verdicts, in words that say what to do."""

from __future__ import annotations

import pytest

from devtls.daemon.console.refused_clients import why_refused


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("peer did not return a certificate", "it showed no certificate. `devtls cert NAME --client` makes one"),
        ("certificate has expired", "has expired. `devtls cert NAME --client`"),
        ("certificate is not yet valid", "not valid yet. Compare the clocks"),
        ("unsuitable certificate purpose", "is for servers, not for clients. `devtls cert NAME --client`"),
        ("unsupported certificate purpose", "is for servers, not for clients."),
        ("certificate revoked", "was revoked. `devtls certs list`"),
        ("unable to get certificate CRL", "there is no revocation list of the CA"),
        ("CRL has expired", "the revocation list of its CA has expired. A file of client_ca"),
        ("unable to get local issuer certificate", "another CA signed its certificate"),
        ("unable to get issuer certificate", "another CA signed its certificate"),
        ("self-signed certificate in certificate chain", "another CA signed its certificate"),
        ("self signed certificate", "another CA signed its certificate"),
        ("certificate signature failure", "another CA signed its certificate"),
        ("unable to verify the first certificate", "another CA signed its certificate"),
        ("permitted subtree violation", "holds a name that its CA may not sign for."),
        ("no shared cipher", "no shared cipher."),
    ],
)
def test_each_verdict_has_its_words(reason: str, said: str) -> None:
    assert said in why_refused(reason)
