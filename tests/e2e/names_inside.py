"""One method of `devtls setup names`, applied or reverted inside a namespace; prints the states before and after.

    python -m tests.e2e.names_inside METHOD (install|remove) DNS_PORT [NAME...]

Strategy: the changes are the real ones, and so are their plans and the tools that execute them; only the step that
tells a resolver of systemd's is left out, since the test starts the resolver itself.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from devtls.names import DEFAULT_ZONES
from devtls.system.changes.change import AnyChange, DesiredState, User
from devtls.system.changes.resolver.dnsmasq import DNSMASQ
from devtls.system.changes.resolver.drop_in import DropIn
from devtls.system.changes.resolver.hosts import HostsFile
from devtls.system.changes.resolver.hosts_unix import UnixHosts
from devtls.system.changes.resolver.resolved import DROP_IN
from devtls.system.machine.execute import ProcessRunner, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT


def _change(method: str) -> AnyChange:
    if method == "hosts":
        return HostsFile(UnixHosts(Machine.here()))
    recipe = {"dnsmasq": DNSMASQ, "resolved": DROP_IN}[method]
    return DropIn(replace(recipe, refresh=()), Path("/"))


def _act(change: AnyChange, action: str, desired: DesiredState) -> dict[str, str]:
    facts = change.probe()
    # What the record would hold: the tests revert what they applied, and the folder was there or was not.
    kept = {"folder": "absent"}
    plan = change.apply_plan(facts, desired) if action == "install" else change.revert_plan(facts, kept)
    outcome = execute(plan, ProcessRunner(ALREADY_ROOT))
    after = change.state(change.probe(), desired)
    failure = "" if outcome.done else change.read_failure(facts, outcome).detail
    before = change.state(facts, desired).status.value
    return {"before": before, "after": after.status.value, "detail": after.detail, "failure": failure}


if __name__ == "__main__":
    method, action, port, *names = sys.argv[1:]
    me = User("root", os.getuid(), os.getgid(), Path.home())
    desired = DesiredState(me, DEFAULT_ZONES, tuple(names), dns_port=int(port))
    print(json.dumps(_act(_change(method), action, desired)))
