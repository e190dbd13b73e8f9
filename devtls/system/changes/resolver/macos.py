"""macOS: one file for each zone in /etc/resolver, which sends it to devtls (resolver(5)).

Owns their content. configd watches the directory, so nobody has to be told. The bare name of a zone of two labels below
.local, dev.local itself, is asked for by mDNS first and stays unreliable this way; the hosts file has it when a route
serves it. `install` of macOS takes no pipe, so `tee` writes the files. Its plans are tested, no Mac has run them yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from devtls.system.changes.change import DesiredState
from devtls.system.changes.resolver.drop_in import Recipe


def _files(desired: DesiredState) -> Mapping[str, str]:
    return dict.fromkeys(desired.zones, f"nameserver 127.0.0.1\nport {desired.dns_port}\n")


RESOLVER = Recipe(
    method="resolver",
    label="Files in /etc/resolver",
    purpose=(
        "Lets macOS ask devtls for every name in your zones, wildcards too, and for no other name. They resolve while "
        "devtls serve runs. VPN software may look past these files; the hosts file it does not."
    ),
    directory="etc/resolver",
    files=_files,
    writer="tee",
)
