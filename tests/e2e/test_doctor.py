"""`devtls doctor` tells the truth in a fresh home: before trust, between, after untrust, and when things are broken."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtls.errors import ExitCode
from tests.conftest import RequireTool
from tests.e2e.clients import run
from tests.e2e.serving import DEVTLS, export_root, serving

pytestmark = pytest.mark.e2e

NEW = ".local/share/pki/nssdb"


@pytest.fixture(autouse=True)
def machine(home: Path, monkeypatch: pytest.MonkeyPatch, require_tool: RequireTool) -> None:
    require_tool("certutil", "apt-get install libnss3-tools")
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "80")


async def devtls(*arguments: str) -> str:
    done = await run((*DEVTLS, *arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout


async def doctor(*arguments: str) -> tuple[int, str]:
    done = await run((*DEVTLS, "doctor", *arguments))
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


async def findings_of(*arguments: str) -> dict[str, Any]:
    """Return id -> finding; where there are several with one id, the last."""
    _, text = await doctor("--json", *arguments)
    return {finding["id"]: finding for finding in json.loads(text)["findings"]}


def mine(findings: dict[str, Any]) -> set[str]:
    """Return what is wrong, the ports of the real machine left out: other tests and programs may hold them."""
    return {
        name
        for name, finding in findings.items()
        if finding["level"] in ("warning", "trouble") and finding["section"] != "ports"
    }


async def test_before_trust_between_and_after(home: Path) -> None:
    code, text = await doctor()
    assert code == ExitCode.FAILED
    assert "✗ CA        There is no CA on this machine yet." in text
    assert "What to do:\n  1. devtls trust\n" in text
    assert not (home / "state").exists()

    await devtls("trust", "--store", "nss", "--yes")
    found = await findings_of()
    assert mine(found) == set()
    assert found["store-trusts"]["subject"] == f"nss:~/{NEW}"
    assert found["client-needs-env"]["mend"] == 'eval "$(devtls env)"'

    await devtls("untrust", "--yes")
    found = await findings_of()
    assert mine(found) == {"untrusted"}
    assert found["untrusted"]["mend"] == found["client-needs-env"]["mend"] == "devtls trust"

    await devtls("untrust", "--yes", "--forget")
    assert mine(await findings_of()) == {"ca-missing"}


async def test_clients_under_devtls_env_need_nothing_more(home: Path, require_tool: RequireTool) -> None:
    require_tool("curl", "apt-get install curl")
    await devtls("trust", "--store", "nss", "--yes")
    text = await devtls("env", "--", *DEVTLS, "doctor", "--json")
    clients = [each for each in json.loads(text)["findings"] if each["section"] == "clients"]
    assert {each["id"] for each in clients} == {"client-trusts"}
    assert "curl" in {each["subject"] for each in clients}


async def test_fix_does_what_it_says(home: Path) -> None:
    await devtls("trust", "--store", "nss", "--yes")
    earlier = json.loads(await devtls("ca", "--json"))["id"]
    for path in (home / "state").glob("ca*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    await devtls("trust", "--store", "nss", "--yes")
    (home / "state").chmod(0o755)
    found = await findings_of()
    assert mine(found) == {"ca-exposed", "root-stale"}
    assert f"devtls root {earlier}" in found["root-stale"]["what"]
    assert {each["fixable"] for each in found.values() if each["id"] in mine(found)} == {True}

    done = await run((*DEVTLS, "doctor", "--fix", "--yes"))
    assert f"/bin/chmod go= -- {home / 'state'}" in done.stderr
    assert "certutil -D" in done.stderr
    assert done.stdout.count("✓ done") == 2
    assert mine(await findings_of()) == set()
    listed = await run(("certutil", "-L", "-d", f"sql:{home / NEW}"))
    assert earlier not in listed.stdout


async def test_a_root_that_no_record_knows_is_left_to_the_user(home: Path) -> None:
    await devtls("trust", "--store", "nss", "--yes")
    await devtls("untrust", "--yes")
    root = export_root(home)
    await devtls("untrust", "--yes", "--forget")
    await devtls("trust", "--store", "nss", "--yes")
    added = await run(("certutil", "-A", "-d", f"sql:{home / NEW}", "-t", "C,,", "-n", "old", "-i", str(root)))
    assert added.returncode == 0, added.stderr
    found = await findings_of("--fix", "--yes")
    assert mine(found) == {"root-unknown"}
    assert found["root-unknown"]["mend"] == "devtls untrust --all && devtls trust"


async def test_an_untrusted_ca_is_put_into_the_browsers_store_by_fix(home: Path) -> None:
    await devtls("trust", "--store", "nss", "--yes")
    await devtls("untrust", "--yes")
    assert mine(await findings_of("--fix", "--yes")) == set()


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("changes.json", "{", "record-unreadable"),
        ("trusted.json", "{", "record-unreadable"),
        ("ca.current", "{", "ca-unusable"),
        ("ca.current", '{"format": 99}', "ca-unusable"),
    ],
)
async def test_a_broken_state_file_is_a_finding(home: Path, file: str, content: str, expected: str) -> None:
    await devtls("trust", "--store", "nss", "--yes")
    (home / "state" / file).write_text(content)
    found = await findings_of()
    assert mine(found) == {expected}
    assert found[expected]["mend"]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


async def test_a_taken_port_is_told_with_its_holder(home: Path, taken: int) -> None:
    (home / "devtls.toml").write_text(f"[serve]\nhttps_port = {taken}\n[routes]\nlocalhost = 3000\n")
    _, text = await doctor("--json")
    (port,) = [each for each in json.loads(text)["findings"] if each["subject"] == str(taken)]
    assert (port["id"], port["level"]) == ("port-taken", "warning")
    assert "(process " in port["what"]


async def test_a_running_serve_is_found_and_another_cas_told_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(home, "app=3000") as proxy:
        (home / "devtls.toml").write_text(f"[serve]\nhttps_port = {proxy.port}\n[routes]\nlocalhost = 3000\n")
        found = await findings_of()
        assert "serve-runs" in found
        assert not {"port-taken", "pki-port-taken", "serve-of-another-ca"} & found.keys()
        monkeypatch.setenv("DEVTLS_STATE_DIR", str(home / "another"))
        await devtls("trust", "--store", "nss", "--yes")
        assert (await findings_of())["serve-of-another-ca"]["subject"] == str(proxy.port)


async def test_a_configuration_that_cannot_be_read_is_told_with_its_line(home: Path) -> None:
    (home / "devtls.toml").write_text("[routes]\napp = { target = 3000, hots = 1 }\n")
    found = await findings_of()
    assert "devtls.toml:2" in found["config-refused"]["what"]


async def test_a_file_of_devtls_env_from_another_ca_is_made_anew(home: Path) -> None:
    await devtls("trust", "--store", "nss", "--yes")
    await devtls("env")
    bundle = home / "state/ca-bundle.pem"
    old = bundle.read_bytes()
    await devtls("untrust", "--yes", "--forget")
    await devtls("trust", "--store", "nss", "--yes")
    bundle.write_bytes(old)
    assert mine(await findings_of()) == {"env-outdated"}
    assert mine(await findings_of("--fix", "--yes")) == set()
    assert bundle.read_bytes() != old
