"""The match of a certificate with a host, as browsers decide it.

Owns the matching (RFC 6125 as browsers apply it): alternative names only, never the common name; a wildcard stands for
exactly one label, as the whole first label, and never directly below a public suffix or a single label (`*.test`,
`*.co.uk`). IP addresses match addresses only, never text.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from devtls.config.lines import visible
from devtls.doctor.tls_check.address import Host
from devtls.doctor.tls_check.certificate import Certificate, shortened
from devtls.names import is_ip_address

PublicSuffix = Callable[[str], bool]

_MOST_SHOWN = 4


def match_name(host: Host, certificate: Certificate, is_public_suffix: PublicSuffix) -> tuple[bool, str]:
    """Return whether the certificate is for `host`, and the reason as one sentence."""
    if not certificate.has_names:
        return False, _without_names(host, certificate)
    if not isinstance(host, str):
        return _match_address(host, certificate)
    for name in certificate.dns_names:
        # A trailing dot is no part of the name in a certificate, yet some have it.
        if name.rstrip(".") == host:
            return True, f"The certificate is for {host}."
    wild = [name for name in certificate.dns_names if _covers(name, host)]
    for name in wild:
        if not _too_wide(name, is_public_suffix):
            return True, f"The certificate is for {visible(name)}, which covers {host}."
    if wild:
        return False, (
            f"The certificate is for {visible(wild[0])}, but no browser takes a wildcard directly below "
            f"{visible(wild[0][2:])}: exact names work."
        )
    return False, _other_names(host, certificate)


def _without_names(host: Host, certificate: Certificate) -> str:
    if not certificate.common_name:
        return "The certificate names nobody: it has no alternative names (SAN)."
    same = certificate.common_name.lower() == str(host)
    which = str(host) if same else certificate.common_name
    return (
        f"{which} stands in the common name only, where no browser looks since 2017: "
        f"{'it' if same else str(host)} must be among the alternative names (SAN)."
    )


def _match_address(host: Host, certificate: Certificate) -> tuple[bool, str]:
    plain = IPv6Address(int(host)) if isinstance(host, IPv6Address) else host  # without a zone such as %eth0
    if plain in certificate.ip_addresses:
        return True, f"The certificate is for the address {plain}."
    if str(plain) in certificate.dns_names:
        return False, f"{plain} stands there as if it were a DNS name; browsers look for addresses of type IP only."
    return False, _other_names(host, certificate)


def _covers(pattern: str, host: str) -> bool:
    # The whole first label and exactly one (RFC 6125 section 6.4.3, as browsers apply it).
    return pattern.startswith("*.") and pattern[1:].rstrip(".") == "." + host.partition(".")[2] and "." in host


def _too_wide(pattern: str, is_public_suffix: PublicSuffix) -> bool:
    below = pattern[2:].rstrip(".")
    return "." not in below or is_public_suffix(below)


def _other_names(host: Host, certificate: Certificate) -> str:
    names = certificate.names
    if not names:
        return f"The certificate names neither hosts nor addresses, so it is not for {host}."
    shown = ", ".join(names[:_MOST_SHOWN])
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    deep = _deep_hint(str(host), certificate)
    return f"The certificate is for {shown}{more}, not for {host}{deep}."


def _deep_hint(host: str, certificate: Certificate) -> str:
    """Explain the wildcard that people expect to match: `*.a` for `x.y.a`, or for `a` itself."""
    if is_ip_address(host):
        return ""
    for name in certificate.dns_names:
        if name.startswith("*.") and (host == name[2:] or host.endswith(name[1:])):
            return f" ({shortened(name)} stands for exactly one label)"
    return ""
