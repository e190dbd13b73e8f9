"""Real programs and a certificate of the CA: bare, and with the variables of `devtls env`.

Owns the meaning of a verdict. A program that needs a variable is no trouble (it brings a list of its own, and
`devtls env` is the way); one that refuses with the variable, or that accepts a name outside the zones, is. The probe
writes nothing into the state directory: the files of `devtls env` stand in a private directory while the clients run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from devtls.doctor.clients import CLIENTS, Client
from devtls.doctor.health.authority import ProbedCa
from devtls.doctor.health.finding import Finding, Level, Section, listed
from devtls.doctor.proof import ClientProof, ForeignOutcome, ProofFiles, Verdict, prove
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

_ENV = 'eval "$(devtls env)"'
_TRUST = "devtls trust"


def check_clients(reports: Sequence[ClientProof], *, retired: bool = False) -> Iterator[Finding]:
    """Yield the findings about each client's handshake; `retired` = after devtls untrust, when devtls env refuses."""
    if not reports:
        yield Finding(
            "clients-none", Section.CLIENTS, Level.OK, "Neither curl, openssl, python nor node is here to be asked."
        )
    for report in reports:
        if report.verdict is Verdict.TRUSTED and report.foreign is not ForeignOutcome.ACCEPTED:
            yield _on_good(report)
        elif report.verdict is Verdict.REFUSED:
            yield Finding(
                "client-refuses",
                Section.CLIENTS,
                Level.WARNING,
                f"{report.client} ({report.tool}) refuses the CA, also with devtls env: {report.why}.",
                "Scripts that call your sites with it fail.",
                f"devtls env -- {report.client} … shows more; which {report.client} tells which one runs",
                report.client,
            )
        if report.foreign is ForeignOutcome.ACCEPTED:
            yield _on_fooled(report)
    helped = [report.client for report in reports if report.verdict is Verdict.TRUSTED_WITH]
    if helped:
        verb = "trusts" if len(helped) == 1 else "trust"
        yield Finding(
            "client-needs-env",
            Section.CLIENTS,
            Level.NOTE,
            f"In this shell {listed(helped)} {verb} the CA only with the variables of devtls env.",
            "They bring a list of their own, or go by a store that does not have the root.",
            _TRUST if retired else _ENV,
        )


def _on_good(report: ClientProof) -> Finding:
    name, what = "client-trusts", f"{report.client} accepts a certificate of the CA"
    if report.foreign is ForeignOutcome.NOT_TRIED:  # an imported CA without limits would be believed for every name
        return Finding(f"{name}-unlimited", Section.CLIENTS, Level.OK, f"{what}.", subject=report.client)
    return Finding(
        name, Section.CLIENTS, Level.OK, f"{what}, and refuses a name outside the zones.", subject=report.client
    )


def _on_fooled(report: ClientProof) -> Finding:
    return Finding(
        "client-accepts-anything",
        Section.CLIENTS,
        Level.TROUBLE,
        f"{report.client} ({report.tool}) accepted a certificate for a name outside the zones.",
        "Its checks are off, or it ignores name constraints: whoever steals the CA can pose as any site to it.",
        "Look for a setting that turns its checks off: insecure in ~/.curlrc, NODE_TLS_REJECT_UNAUTHORIZED",
        report.client,
    )


def probe_clients(
    machine: Machine, runner: Runner, ca: ProbedCa, environ: Mapping[str, str]
) -> tuple[ClientProof, ...]:
    """Prove the CA with each client that is installed; with none where the CA cannot sign."""
    if ca.authority is None:
        return ()
    authority, directory = ca.authority, ca.facts.directory
    found = [(machine.user_tool(*client.names), client) for client in CLIENTS]
    clients = {tool: client for tool, client in found if tool is not None}
    root = RootCertificate(authority.id, authority.root_der, directory)
    planned = plan_environment(probe(directory, root, environ, machine.root))
    # A diagnosis changes nothing, the state directory included.
    with tempfile.TemporaryDirectory(prefix="devtls-doctor-") as name:
        private = Path(name)
        for path, content in planned.files.items():
            (private / path.name).write_bytes(content)

        def for_client(client: Client) -> Path | None:
            named = planned.variables.get(client.variable)
            return private / Path(named).name if named else None

        return prove(authority, clients, ProofFiles(private, for_client), runner, ca.facts.now)
