"""The next steps for a certificate that a browser warns of, one sentence each, with the command where there is one.

Owns the advice. Refuses to advise clicking the warning away, or turning a check off. Names in the zones of this
machine's CA get devtls's own next command; names of the public internet a public CA; everything else both ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from devtls.doctor.tls_check.address import Address
from devtls.doctor.tls_check.evidence import Evidence
from devtls.doctor.tls_check.path import PathEnd
from devtls.doctor.tls_check.report import CheckAnswer, Mark, Questions
from devtls.names import is_below, zone_of

_OURS = re.compile(r"devtls (?:root|intermediate) [0-9a-f]{8}\Z")
# No public CA certifies these: RFC 6761, 6762, 7686, 8375, and names that only private networks use.
_RESERVED = ("localhost", "test", "local", "internal", "home.arpa", "example", "invalid", "lan", "onion")


def advise(evidence: Evidence, questions: Questions, remarks: Sequence[CheckAnswer]) -> tuple[str, ...]:
    """Return the next steps, the most important first; none when a browser would not warn."""
    issuer, dates, name, signatures = questions
    if issuer.mark is Mark.WARNS and evidence.path.end is PathEnd.SELF_SIGNED:
        return tuple(_on_self_signed(evidence))  # whatever else is wrong with it, it is to be replaced
    found: list[str] = []
    if issuer.mark is Mark.WARNS:
        found += _on_issuer(evidence)
    if dates.mark is Mark.WARNS:
        found += _on_dates(evidence)
    if name.mark is Mark.WARNS:
        found += _on_name(evidence)
    if signatures.mark is Mark.WARNS and evidence.path.end in (PathEnd.ANCHORED, PathEnd.UNTRUSTED_ROOT):
        found.append("Have the certificate issued by a CA that may speak for this name; more trust does not help.")
    for remark in remarks:
        if remark.mark is Mark.WARNS:
            found += _on_remark(remark)
    return tuple(dict.fromkeys(found))


def is_ours(evidence: Evidence) -> bool:
    """Say whether a CA that devtls made issued the certificate: this machine's, an older or another one's."""
    path = evidence.path
    return any(_OURS.match(text) for each in path.certificates for text in (each.subject, each.issuer))


def _on_issuer(evidence: Evidence) -> Iterator[str]:
    path, address = evidence.path, evidence.address
    if is_ours(evidence):
        yield from _on_our_ca(evidence)
    elif path.end is PathEnd.BAD_SIGNATURE:
        yield "Do not go on: have the server's certificate issued again."
    elif path.end is PathEnd.OTHER_KEY:
        yield f"Have the certificate issued again by today's {path.last.issuer}, or trust the one that issued it."
    elif path.end is PathEnd.INCOMPLETE and len(path.certificates) == 1:
        yield (
            "Let the server send its whole chain: its own certificate first, the intermediates after it (often a file "
            "named fullchain or bundle)."
        )
        yield _trust_root(path.last.issuer)
    else:
        yield _trust_root(path.last.subject if path.end is not PathEnd.INCOMPLETE else path.last.issuer)
        if is_public_address(address, evidence.handshake.ip):
            yield f"If {address.host} is for everybody, take a certificate of a public CA, such as Let's Encrypt."


def _trust_root(root: str) -> str:
    return (
        f"If {root} is a CA that you trust, add its root certificate to the browser (in its settings: certificates, "
        "authorities). To see what that would change: --ca FILE."
    )


def _on_our_ca(evidence: Evidence) -> Iterator[str]:
    root = evidence.local_ca.root
    if root is not None and evidence.path.last.fingerprint == root.fingerprint:
        yield "devtls trust puts the root into the stores of this machine; restart browsers that are open."
    elif root is not None:
        yield (
            "This is a devtls CA, but not the present one of this machine. If the proxy runs here, restart devtls "
            "serve; if it runs elsewhere, export its root there (devtls ca export) and add it here."
        )
    else:
        yield (
            "This is the devtls CA of another machine or user: this one has none. Run devtls trust as the user of the "
            "proxy, or export its root there (devtls ca export) and add it here."
        )


def _on_self_signed(evidence: Evidence) -> Iterator[str]:
    yield (
        "A self-signed certificate may be right in dates, name and signature, and still nobody vouches for it: anybody "
        "can make one for any name. It takes a CA that your browser knows."
    )
    if is_public_address(evidence.address, evidence.handshake.ip):
        yield f"For {evidence.address.host} a public CA does that free of charge, such as Let's Encrypt."
    else:
        yield (
            "On this machine devtls is one: let the app speak plain HTTP on a port of its own, say 3000, then run "
            "devtls trust (once) and devtls serve app=3000."
        )


def _on_dates(evidence: Evidence) -> Iterator[str]:
    early = any(evidence.now < each.not_before for each in evidence.path.certificates)
    if early:
        yield "Set the clock of this machine right (timedatectl), or wait."
    elif is_ours(evidence):
        yield (
            "Restart devtls serve: it makes a new certificate for each name. If its CA has ended: devtls untrust "
            "--forget, then devtls trust."
        )
    else:
        yield "Renew the certificate, and let the server load it: many only read it at their start."


def _on_name(evidence: Evidence) -> Iterator[str]:
    leaf, address = evidence.path.leaf, evidence.address
    wanted = f"subjectAltName = {'IP' if address.is_ip else 'DNS'}:{address.host}"
    exact = [each for each in leaf.names if not each.startswith("*.") and each != address.host]
    if zone_of(str(address.host), evidence.local_ca.zones) and is_ours(evidence):
        yield f"devtls makes a certificate for each name: open {address.url} itself, without --connect."
    elif exact:
        yield f"Open a name that it is for ({exact[0]}), or have it issued for this one as well: {wanted}."
    else:
        yield f"Have it issued with alternative names: {wanted}."


_REMEDIES = (
    ("revoked", "Have a new certificate issued, with a new key."),
    ("weak key|cannot use", "Make a new key, ECDSA P-256 (or RSA with 2048 bits and more), and have it certified."),
    ("broken hash", "Have it issued again, signed with SHA-256."),
    ("lives too long", "Have it issued for a shorter life, 90 days for example, and renew it by a program."),
    ("belongs to a CA", "Make a certificate of its own for the server: basicConstraints = CA:FALSE."),
    ("not for servers", "Have it issued with extendedKeyUsage = serverAuth."),
    ("neither protocol nor", "Switch TLS 1.2 and 1.3 on in the server, with AES-GCM or ChaCha20 ciphers."),
    ("malformed|do not know", "Have it issued again, without what is named above."),
)


def _on_remark(remark: CheckAnswer) -> Iterator[str]:
    yield from (remedy for words, remedy in _REMEDIES if re.search(words, remark.because))


def is_public_address(address: Address, ip: str) -> bool:
    """Say whether a public CA could certify the host: a name of the public DNS that does not lead to this machine."""
    if not isinstance(address.host, str) or "." not in address.host:
        return False
    local = ip.startswith("127.") or ip == "::1"
    return not local and not any(is_below(address.host, zone) for zone in _RESERVED)
