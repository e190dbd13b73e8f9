"""The promise of `devtls trust`, on a whole Debian with a fresh home: every client trusts, and after untrust none does.

It runs in a mount namespace where /etc and the system's anchors are copies: real stores, real tools, and nothing
outside changes. What each client goes by, as measured here:

    curl, git, wget, Python's ssl, gnutls-cli   bare: the system's store
    Java                                        bare: its keystore, which trust fills
    Chromium, Firefox                           bare: their NSS databases; Firefox without certutil: its policy file
    requests                                    with what `devtls env` gives: it comes with a list of its own
    Node                                        with what `devtls env` gives; Debian's own build also bare
"""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from devtls.doctor.clients import RefusalReason, read_reason
from devtls.errors import ExitCode
from devtls.pki.authority import FOREIGN_NAME
from devtls.system.changes.clientenv.variables import NAMES as VARIABLES
from tests.e2e.chromium import Chromium
from tests.e2e.clients import Ended, RequireTool, run
from tests.e2e.firefox import Firefox
from tests.e2e.https_site import forged_site
from tests.e2e.namespace import ANCHORS, Namespace, namespace
from tests.e2e.programs import ANSWER, NAMES, Program, make_site, program
from tests.e2e.serving import DEVTLS, running
from tests.locks import free_port

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's mount namespaces"),
]

APPS = ("app.dev.local", "app.localhost")
AT_ONCE = 2
OLD_DATABASE = ".pki/nssdb"
POLICIES = Path("/etc/firefox/policies/policies.json")
ADMINISTRATOR = '{ "policies": {\n\t"DisableTelemetry": true,\n\n"Certificates": {"ImportEnterpriseRoots":false } }}'

ACCEPTED, REFUSED, REFUSED_FOR_NAME = "accepted", "refused", "refused for its name"
WORDLESS = ("git", "wget")
"""Built with GnuTLS, as Debian has them, these do not tell one refusal from another."""
PROOF = {"curl": "curl", "python": "urllib", "node": "node"}
"""Rows of trust's own proof -> the programs here that are the same."""
UNKNOWN = {"chromium": "net::ERR_CERT_AUTHORITY_INVALID", "firefox": "SEC_ERROR_UNKNOWN_ISSUER"}
FOREIGN = {"chromium": "net::ERR_CERT_INVALID", "firefox": "SEC_ERROR_CERT_NOT_IN_NAME_SPACE"}
FINE = dict.fromkeys(UNKNOWN, ANSWER)


@dataclass(frozen=True)
class Sites:
    """The two names of an app behind a running `devtls serve`, and a forged site of a name outside the zones."""

    apps: tuple[str, ...]
    foreign: str


@dataclass(frozen=True)
class Crowd:
    """The programs of the command line, on the machine."""

    machine: Namespace
    programs: Mapping[str, Program]

    async def say(self, site: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what each of them makes of a site."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(client: Program) -> str:
            async with gate:
                return _verdict(client, await run(self.machine.inside(client.argv(site + client.path)), env))

        said = await asyncio.gather(*map(one, self.programs.values()))
        return dict(zip(self.programs, said, strict=True))

    def expected(self, verdict: str, *, bare: bool = False) -> dict[str, str]:
        """Return the verdict of those that know the root: with `bare`, only of those that read the system's list."""
        return {
            name: REFUSED if bare and not client.reads_system else _as_told(name, verdict)
            for name, client in self.programs.items()
        }

    def readers(self) -> Crowd:
        """Return those that read the system's list."""
        return Crowd(self.machine, {name: client for name, client in self.programs.items() if client.reads_system})


def _verdict(client: Program, ended: Ended) -> str:
    if ended.returncode == 0:
        return ACCEPTED if client.shows in ended.stdout else f"ended well without the answer: {ended.stdout}"
    for_name = read_reason(ended.stderr + ended.stdout) is RefusalReason.NAME_CONSTRAINTS
    return REFUSED_FOR_NAME if for_name else REFUSED


def _as_told(name: str, verdict: str) -> str:
    return REFUSED if name in WORDLESS and verdict == REFUSED_FOR_NAME else verdict


class Browsers:
    """Chromium and Firefox of the machine, started anew for every look: they remember what they trusted."""

    def __init__(self, machine: Namespace, home: Path, require_tool: RequireTool) -> None:
        chromium = require_tool("chromium", "sudo apt-get install chromium")
        firefox = require_tool("firefox-esr", "sudo apt-get install firefox-esr")
        self._home = home
        self.profile = Firefox(home).profile
        self._chromium, self._firefox = (machine.program(tool, home) for tool in (chromium, firefox))

    async def see(self, sites: Sequence[str]) -> list[dict[str, str]]:
        """Return for each site what both show: its text, or their name for the error."""
        seen = await asyncio.gather(self.chromium(sites), self.firefox(sites))
        return [{"chromium": chromium, "firefox": firefox} for chromium, firefox in zip(*seen, strict=True)]

    async def chromium(self, sites: Sequence[str]) -> list[str]:
        async with Chromium(self._home, executable=self._chromium, flags=()) as browser:
            pages = [await browser.open(f"{site}/") for site in sites]
            return [page.error or (await page.text()).strip() for page in pages]

    async def firefox(self, sites: Sequence[str]) -> list[str]:
        async with Firefox(self._home, executable=self._firefox) as browser:
            pages = [await browser.open(f"{site}/") for site in sites]
            return [page.error or (await page.text()).strip() for page in pages]


@pytest.fixture
def machine(require_tool: RequireTool) -> Iterator[Namespace]:
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    require_tool("keytool", "sudo apt-get install default-jre-headless")
    with namespace() as machine:
        yield machine


@pytest.fixture
async def sites(machine: Namespace, home: Path, require_tool: RequireTool) -> AsyncIterator[Sites]:
    """Serve before anything is trusted; the forged site has an answer for everybody who asks without checking."""
    await machine.know(*APPS, FOREIGN_NAME)
    directory, port = make_site(home / "site", require_tool), free_port()
    argv = machine.inside((*DEVTLS, "serve", f"app={directory}", "--https-port", str(port), "--no-redirect"))
    async with running(argv, directory=home, port=port):
        with forged_site(home / "state", directory) as forged:
            assert await asyncio.to_thread(_fetch_unchecked, f"https://127.0.0.1:{forged}/ready") == ANSWER
            yield Sites(tuple(f"https://{name}:{port}" for name in APPS), f"https://{FOREIGN_NAME}:{forged}")


@pytest.fixture
def browsers(machine: Namespace, home: Path, require_tool: RequireTool) -> Browsers:
    return Browsers(machine, home, require_tool)


@pytest.fixture
def crowd(machine: Namespace, home: Path, require_tool: RequireTool) -> Crowd:
    return Crowd(machine, {name: program(name, home, require_tool) for name in NAMES})


def _fetch_unchecked(url: str) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urlopen(url, timeout=20, context=context) as answer:
        return str(answer.read().decode())


def _outside() -> list[str]:
    """Return what must not change out here: names of files that devtls would make, and the hosts file."""
    directories = (ANCHORS, Path("/etc/ssl/certs"), POLICIES.parent)
    ours = (str(path) for directory in directories if directory.is_dir() for path in directory.glob("devtls*"))
    return [*sorted(ours), Path("/etc/hosts").read_text()]


async def test_every_client_trusts_after_one_command_and_none_after_the_other(
    machine: Namespace, sites: Sites, crowd: Crowd, browsers: Browsers
) -> None:
    await machine.shell("update-ca-certificates --fresh")  # keystore and bundle hold the anchors that there are
    outside, before = _outside(), await machine.anchors()
    untrusted = Doctor({"untrusted": "devtls trust"}, set(), set())
    async with asyncio.TaskGroup() as beside:
        looking, asking = beside.create_task(browsers.see(sites.apps[:1])), beside.create_task(_doctor(machine))
        assert await crowd.say(sites.apps[0]) == crowd.expected(REFUSED)
    assert (looking.result(), asking.result()) == ([UNKNOWN], untrusted)

    trusted: dict[str, Any] = json.loads((await machine.devtls("trust", "--yes", "--json")).stdout)
    _agrees(trusted, crowd)
    given: dict[str, str] = json.loads((await machine.devtls("env", "--json")).stdout)
    assert set(given) == set(VARIABLES)
    async with asyncio.TaskGroup() as beside:
        looking = beside.create_task(browsers.see((*sites.apps, sites.foreign)))
        for site in sites.apps:
            assert await crowd.say(site) == crowd.expected(ACCEPTED, bare=True), site
            assert await crowd.say(site, given) == crowd.expected(ACCEPTED), site
        assert await crowd.readers().say(sites.foreign) == crowd.readers().expected(REFUSED_FOR_NAME)
        assert await crowd.say(sites.foreign, given) == crowd.expected(REFUSED_FOR_NAME)
    assert looking.result() == [FINE, FINE, FOREIGN]
    stores, rows = {store["name"] for store in trusted["stores"]}, trusted["clients"]
    bare = {row["client"] for row in rows if row["verdict"] == "trusted"}
    assert await _doctor(machine) == Doctor({}, stores, bare)
    assert await _doctor(machine, given) == Doctor({}, stores, {row["client"] for row in rows})

    await machine.devtls("untrust", "--yes")
    assert await machine.anchors() == before
    async with asyncio.TaskGroup() as beside:
        looking, asking = beside.create_task(browsers.see(sites.apps)), beside.create_task(_doctor(machine))
        for site in sites.apps:
            assert await crowd.say(site) == crowd.expected(REFUSED), site
        assert await crowd.say(sites.apps[0], given) == crowd.expected(REFUSED), "in a shell of before untrust"
    assert (looking.result(), asking.result()) == ([UNKNOWN, UNKNOWN], untrusted)
    untrusted.wrong["variable-names-nothing"] = 'eval "$(devtls env --unset)"'
    assert await _doctor(machine, given) == untrusted, "in a shell of before untrust"
    await _env_gives_nothing(machine)
    assert _outside() == outside


def _agrees(trusted: Mapping[str, Any], crowd: Crowd) -> None:
    """Compare what trust says with what is true here: every store, and each client of its own proof."""
    stores = [(store["name"].partition(":")[0], store["state"]) for store in trusted["stores"]]
    assert stores == [("system", "trusted"), ("nss", "trusted"), ("nss", "trusted"), ("java", "trusted")]
    rows = {row["client"]: row for row in trusted["clients"]}
    for row, name in PROOF.items():
        bare = crowd.programs[name].reads_system
        assert (rows[row]["verdict"], rows[row]["foreign"]) == ("trusted" if bare else "trusted with", REFUSED_FOR_NAME)


@dataclass(frozen=True)
class Doctor:
    """What `devtls doctor` says: what is wrong and what mends it, and which stores and clients trust."""

    wrong: dict[str, str]
    stores: set[str]
    clients: set[str]


async def _doctor(machine: Namespace, env: Mapping[str, str] | None = None) -> Doctor:
    """Ask it; left out are the ports of the real machine, which others may hold, and names, which nobody set up."""
    asked = await run(machine.inside((*DEVTLS, "doctor", "--json")), env)
    findings = [each for each in json.loads(asked.stdout)["findings"] if each["section"] not in ("ports", "names")]
    return Doctor(
        {each["id"]: each["mend"] for each in findings if each["level"] in ("warning", "trouble")},
        {each["subject"] for each in findings if each["id"] == "store-trusts"},
        {each["subject"] for each in findings if each["id"] == "client-trusts"},
    )


async def _env_gives_nothing(machine: Namespace) -> None:
    """With nothing set by it, a client under a fresh devtls env is one that was asked bare."""
    asked = await run(machine.inside((*DEVTLS, "env", "--shell", "sh")))
    assert (asked.returncode, asked.stdout) == (ExitCode.REFUSED, "")
    assert "devtls trust" in asked.stderr


async def test_chromium_with_the_database_of_an_older_version(
    machine: Namespace, sites: Sites, browsers: Browsers, home: Path
) -> None:
    """It goes by the folder of before version 146 as long as there is one."""
    (home / OLD_DATABASE).mkdir(parents=True)
    made = await run(("certutil", "-N", "-d", f"sql:{home / OLD_DATABASE}", "--empty-password"))
    assert made.returncode == 0, made.stderr
    await machine.devtls("trust", "--yes", "--store", "nss")
    assert await browsers.chromium((*sites.apps, sites.foreign)) == [ANSWER, ANSWER, FOREIGN["chromium"]]
    await machine.devtls("untrust", "--yes")
    assert await browsers.chromium(sites.apps) == [UNKNOWN["chromium"]] * 2


async def test_firefox_trusts_by_its_policy_file_where_certutil_is_missing(
    machine: Namespace, sites: Sites, browsers: Browsers
) -> None:
    """With an administrator's policies in it, which stay in force and come back to the byte."""
    await machine.shell('mkdir -p "${1%/*}" && printf %s "$2" > "$1"', str(POLICIES), ADMINISTRATOR)
    before = await _policy_directory(machine)
    await machine.hide("certutil")
    trusted: dict[str, Any] = json.loads((await machine.devtls("trust", "--yes", "--json")).stdout)
    states = {store["name"]: store["state"] for store in trusted["stores"]}
    assert states["firefox-policy"] == "trusted"
    assert '"DisableTelemetry": true' in await machine.shell(f"cat {POLICIES}")
    async with asyncio.TaskGroup() as beside:
        asking = beside.create_task(_doctor(machine))
        assert await browsers.firefox((*sites.apps, sites.foreign)) == [ANSWER, ANSWER, FOREIGN["firefox"]]
    assert asking.result().stores == {name for name, state in states.items() if state == "trusted"}
    assert asking.result().wrong == {"store-blocked": "sudo apt install libnss3-tools && devtls trust"}

    ended = await run(machine.inside((*DEVTLS, "untrust", "--yes")))
    assert ended.returncode == ExitCode.FAILED, "Firefox copied the root into its profile: only certutil undoes that"
    assert "Firefox profile (~/.config/mozilla/firefox/test.default) may still hold the root" in ended.stderr
    assert await _policy_directory(machine) == before
    shutil.rmtree(browsers.profile)
    assert await browsers.firefox(sites.apps[:1]) == [UNKNOWN["firefox"]]


async def test_policies_that_are_ours_alone_are_gone_after_untrust(machine: Namespace) -> None:
    before = await _policy_directory(machine)
    await machine.hide("certutil")
    await machine.devtls("trust", "--yes", "--store", "firefox-policy")
    assert "devtls-" in await machine.shell(f"cat {POLICIES}")
    await machine.devtls("untrust", "--yes", "--store", "firefox-policy")
    assert await _policy_directory(machine) == before


async def _policy_directory(machine: Namespace) -> str:
    """Return what is there, with rights and owners, and the policies to the byte."""
    top = POLICIES.parent.parent
    listed = f"find {top} -exec ls -ld --time-style=+ {{}} +; od -c {POLICIES}"
    return await machine.shell(f"[ ! -e {top} ] || {{ {listed}; }}")
