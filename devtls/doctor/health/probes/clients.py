"""Facts about clients: real handshakes of real programs, in fresh processes, as the user.

Owns the files that they are told of. Refuses to write into the state folder: what `devtls env` would give stands in a
private folder for as long as the clients run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from devtls.doctor.clients import CLIENTS, Client
from devtls.doctor.health.probes.authority import Ca
from devtls.doctor.proof import Files, Report, prove
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine


def look_at_clients(machine: Machine, runner: Runner, ca: Ca, environ: Mapping[str, str]) -> tuple[Report, ...]:
    """Return how each client that is installed took a certificate of the CA; none without a CA that can sign."""
    if ca.authority is None:
        return ()
    authority, directory = ca.authority, ca.facts.directory
    found = [(machine.user_tool(*client.names), client) for client in CLIENTS]
    clients = {tool: client for tool, client in found if tool is not None}
    root = RootCertificate(authority.id, authority.root_der, directory)
    planned = plan_environment(probe(directory, root, environ, machine.root))
    with tempfile.TemporaryDirectory(prefix="devtls-doctor-") as name:
        private = Path(name)
        for path, content in planned.files.items():
            (private / path.name).write_bytes(content)

        def for_client(client: Client) -> Path | None:
            named = planned.variables.get(client.variable)
            return private / Path(named).name if named else None

        return prove(authority, clients, Files(private, for_client), runner, ca.facts.now)
