"""The drop-in and the delegate that make systemd-resolved ask devtls for our zones.

Owns the content of two files. The delegate (systemd 258 and later) is a scope of its own and touches no other name. The
drop-in (246 to 257; before that a server could have no port) adds devtls to the global servers, which are a default
route: resolved asks them for every other name too, beside the link's own, so it is for those who ask for it. Domains
carry a ~: without it they would be search domains, and a bare `printer` would lead to this machine. `localhost` is left
out: resolved answers it, and everything below it, by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from devtls.system.changes.change import DesiredState
from devtls.system.changes.resolver.drop_in import Recipe

SYSTEMCTL = "/usr/bin/systemctl"
FIRST_DELEGATES, FIRST_PORTS = 258, 246
"""The versions of systemd that brought delegates, and servers with a port."""

_SERVICE = "systemd-resolved.service"


def _settings(section: str, desired: DesiredState) -> str:
    # ~ makes a routing domain; without it, bare names would be completed with it (systemd-resolved.service(8)).
    domains = " ".join(f"~{zone}" for zone in desired.zones if zone != "localhost")
    return f"[{section}]\nDNS=127.0.0.1:{desired.dns_port}\nDomains={domains}\n"


def _delegate(desired: DesiredState) -> Mapping[str, str]:
    return {"devtls.dns-delegate": _settings("Delegate", desired)}


def _drop_in(desired: DesiredState) -> Mapping[str, str]:
    return {"devtls.conf": _settings("Resolve", desired)}


DELEGATE = Recipe(
    method="delegate",
    label="Delegate of systemd-resolved",
    purpose=(
        "Lets systemd-resolved ask devtls for every name in your zones, wildcards too, and for no other name. They "
        "resolve while devtls serve runs."
    ),
    directory="etc/systemd/dns-delegate.d",
    files=_delegate,
    # resolved reads delegates again at a reload (systemd's own TEST-75-RESOLVED does it so).
    refresh=((SYSTEMCTL, "try-reload-or-restart", _SERVICE),),
)

DROP_IN = Recipe(
    method="resolved",
    label="Drop-in of systemd-resolved",
    purpose=(
        "Lets systemd-resolved ask devtls for every name in your zones, wildcards too. Know before: this version then "
        "also sends every other look-up of this machine to devtls beside your usual servers. devtls refuses those at "
        "once and writes none down, but servers that resolved took from /etc/resolv.conf may be passed over."
    ),
    directory="etc/systemd/resolved.conf.d",
    files=_drop_in,
    # Global servers are read at its start; try- leaves one that somebody stopped alone.
    refresh=((SYSTEMCTL, "try-restart", _SERVICE),),
)
