"""`devtls setup` on a whole Debian with a fresh home, and the promise that everything comes back as it was.

It runs in a mount namespace where /etc and the system's anchors are copies: this system's own measures, real tools, and
nothing outside changes. Before and after, every file there is read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RequireTool
from tests.e2e.namespace import COPIED, Namespace, namespace

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's mount namespaces"),
]

KEYSTORE = "/etc/ssl/certs/java/cacerts"
"""keytool writes dates into it, so it never comes back byte by byte; its entries do (see `anchors`)."""
LIST = """\
find "$@" -path "$KEYSTORE" -o -printf '%p %M %U:%G %l\\n' | sort
find "$@" -path "$KEYSTORE" -o -type f -print0 | sort -z | xargs -0 sha256sum
"""


@pytest.fixture
def machine(require_tool: RequireTool) -> Iterator[Namespace]:
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    require_tool("keytool", "sudo apt-get install default-jre-headless")
    with namespace() as machine:
        yield machine


async def everything(machine: Namespace) -> list[str]:
    """Return each file, folder and link with its mode, owner and content."""
    files = await machine.shell(f"KEYSTORE={KEYSTORE}\n{LIST}", *COPIED)
    return [*files.splitlines(), await machine.anchors()]


async def test_setup_is_one_command_and_comes_back_to_the_byte(machine: Namespace, home: Path) -> None:
    await machine.shell("update-ca-certificates --fresh")  # its links are as it makes them, whoever made them before
    before = await everything(machine)

    dry = await machine.devtls("setup", "--dry-run")
    assert dry.stdout.endswith("Nothing was changed.\n")
    assert not (home / "state").exists()
    assert await everything(machine) == before

    done = json.loads((await machine.devtls("setup", "--yes", "--json", "--name", "api")).stdout)
    assert (done["complete"], done["trust"]["trusted"]) == (True, True)
    assert {change["state"] for change in done["measures"]} <= {"in force"}
    assert await everything(machine) != before

    again = await machine.devtls("setup", "--yes")
    assert (again.stdout, again.stderr) == ("Everything is applied already: trust, names, ports.\n", "")

    await machine.devtls("unsetup", "--yes")
    await machine.devtls("untrust", "--yes")
    assert await everything(machine) == before


async def test_uninstall_leaves_nothing(machine: Namespace, home: Path) -> None:
    await machine.shell("update-ca-certificates --fresh")
    before = await everything(machine)
    await machine.devtls("setup", "--yes")
    (home / "state/changes.json").unlink(missing_ok=True)  # what is marked is found without a record
    said = await machine.devtls("uninstall", "--yes")
    assert await everything(machine) == before
    assert not (home / "state").exists()
    assert "Remove the program itself" in said.stderr
    assert (await machine.devtls("uninstall", "--dry-run")).stdout.startswith("Nothing of devtls is on this machine")
