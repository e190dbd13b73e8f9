"""Why a client certificate was refused, and what to do about it, in plain words.

Owns what OpenSSL's verdicts mean here. TLS shows us nothing of a certificate that is refused, so no name is in
them; our own objections to one that TLS accepted have it.
"""

from __future__ import annotations

_MAKE = "`devtls cert NAME --client` makes one for curl and programs, with --p12 for browsers."
_FOREIGN = (
    "another CA signed its certificate than the one that this route trusts. Show one that `devtls cert NAME --client` "
    "made; a route for another CA's clients has client_ca, a PEM file with that CA."
)
_UNBACKED = (
    "A file of client_ca with lists has to hold a current one of each CA: fetch them anew, or take all out. Without "
    "client_ca it is this machine's own CA that counts, not another that the same root has signed."
)

_REASONS = (
    ("did not return a certificate", f"it showed no certificate. {_MAKE}"),
    ("certificate has expired", f"its certificate has expired. {_MAKE}"),
    ("not yet valid", "its certificate is not valid yet. Compare the clocks of both sides."),
    ("certificate purpose", f"its certificate is for servers, not for clients. {_MAKE}"),
    (
        "certificate revoked",
        "its certificate was revoked. `devtls certs list` shows which ones are; `devtls unrevoke` takes a hold back, "
        "and `devtls cert NAME --client` makes another one.",
    ),
    ("get certificate crl", f"there is no revocation list of the CA that signed its certificate. {_UNBACKED}"),
    ("crl has expired", f"the revocation list of its CA has expired. {_UNBACKED}"),
    ("local issuer", _FOREIGN),
    ("issuer certificate", _FOREIGN),
    ("self-signed", _FOREIGN),
    ("self signed", _FOREIGN),
    ("signature failure", _FOREIGN),
    ("first certificate", _FOREIGN),
    ("subtree violation", "its certificate holds a name that its CA may not sign for."),
)
"""X509_verify_cert_error_string(3), in parts that no release of OpenSSL has changed; the first that fits."""


def why_refused(reason: str) -> str:
    """Return a sentence or two for a reason as `net.tls` gives it; what is not known stands as it is."""
    # Ours and not OpenSSL's (`client_objection`): names of the client's choice are in it.
    if reason.startswith("its certificate "):
        return f"{reason}."
    folded = reason.lower()
    return next((sentence for mark, sentence in _REASONS if mark in folded), f"{reason}.")
