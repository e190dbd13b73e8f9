"""The drop-in of dnsmasq, alone or as NetworkManager's, that answers the names of our zones.

Owns the content of one file. It gives dnsmasq the two addresses (`address=`) and keeps every other type of question
at home (`local=`: with `address=` alone dnsmasq 2.86 and later sends type 65, which browsers ask for, to the network).
`server=`, which would ask devtls, does worse: while devtls does not run, dnsmasq 2.90 gives no answer at all and each
look-up waits for its timeout (both tried), and `stop-dns-rebind` throws devtls' answers away. dnsmasq reads such a file
at its start only; SIGHUP does not make it (dnsmasq(8), NOTES).
"""

from __future__ import annotations

from collections.abc import Mapping

from devtls.system.changes.change import DesiredState
from devtls.system.changes.resolver.drop_in import Recipe
from devtls.system.changes.resolver.hosts_block import ADDRESSES
from devtls.system.changes.resolver.resolved import SYSTEMCTL

_PURPOSE = (
    "Lets dnsmasq answer every name in your zones, wildcards too, with 127.0.0.1 and ::1, whether or not devtls runs. "
    "Other names go where they went. dnsmasq is started again, which interrupts look-ups for a moment."
)


def _files(desired: DesiredState) -> Mapping[str, str]:
    lines = [
        line
        for zone in desired.zones
        # Without local=, dnsmasq 2.86 and later sends type 65 (HTTPS, RFC 9460), which browsers ask for, upstream.
        for line in (*(f"address=/{zone}/{address}" for address in ADDRESSES), f"local=/{zone}/")
    ]
    return {"devtls.conf": "\n".join(lines) + "\n"}


NETWORK_MANAGER = Recipe(
    method="networkmanager",
    label="dnsmasq of NetworkManager",
    purpose=_PURPOSE,
    directory="etc/NetworkManager/dnsmasq.d",
    files=_files,
    # What nmcli(1) has for exactly this: start the DNS plugin again, leave connections and resolv.conf alone.
    refresh=(("/usr/bin/nmcli", "general", "reload", "dns-full"),),
)

DNSMASQ = Recipe(
    method="dnsmasq",
    label="Drop-in of dnsmasq",
    purpose=_PURPOSE,
    directory="etc/dnsmasq.d",
    files=_files,
    # SIGHUP does not read configuration files again (dnsmasq(8), NOTES).
    refresh=((SYSTEMCTL, "try-restart", "dnsmasq.service"),),
)
