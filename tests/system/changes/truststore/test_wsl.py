from __future__ import annotations

import base64
import dataclasses
from pathlib import Path, PurePosixPath

import pytest

from devtls.system.changes.change import Kind, Status
from devtls.system.changes.truststore.discovery import find_stores, root_is_trusted
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, sha1_of
from devtls.system.changes.truststore.wsl import WslStore, is_wsl, windows_path
from devtls.system.machine.execute import Finished, NotFinished, Outcome, ProcessRunner, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run
from tests.system.changes.truststore.conftest import ToolMaker
from tests.system.changes.truststore.golden_plans import check_section

PREFIX = "\\\\wsl.localhost\\Debian\\"
SYSTEM = "/mnt/c/Windows/System32"


class Windows:
    """The Windows side, as interop shows it."""

    def __init__(self, distribution: Path) -> None:
        self.held: list[bytes] = []
        self.distribution = distribution
        self.interop: NotFinished | Finished | None = None

    def run(self, run: Run) -> Finished | NotFinished:
        tool, *arguments = run.argv
        if tool.endswith("wslpath"):
            return Finished(0, (SYSTEM if arguments[0] == "-u" else PREFIX).encode() + b"\n")
        if self.interop is not None:
            return self.interop
        if tool == f"{SYSTEM}/WindowsPowerShell/v1.0/powershell.exe":
            return Finished(0, b"\r\n".join(base64.b64encode(der) for der in self.held) + b"\r\nnot base64!\r\n")
        assert tool == f"{SYSTEM}/certutil.exe"
        user, verb, store, subject = arguments
        assert (user, store) == ("-user", "Root")
        if verb == "-addstore":
            path = Path("/", *subject.removeprefix(PREFIX).split("\\"))
            self.held.extend(certificates_in(path.read_bytes()))
        else:
            self.held = [der for der in self.held if sha1_of(der) != subject]
        return Finished(0)


@pytest.fixture
def machine(machine: Machine, make_tool: ToolMaker) -> Machine:
    make_tool("usr/bin/wslpath", "")
    return dataclasses.replace(machine, environ={"WSL_DISTRO_NAME": "Debian"})


@pytest.fixture
def windows(tmp_path: Path) -> Windows:
    return Windows(tmp_path)


def test_the_plans_name_files_as_windows_does(machine: Machine, windows: Windows, root: RootCertificate) -> None:
    store = WslStore(machine, windows)
    there = dataclasses.replace(root, path=PurePosixPath("/home/me/.local/share/devtls/devtls-root.pem"))
    installing = store.apply_plan(store.probe(), there)
    windows.held = [root.der]
    removing = store.revert_plan(store.probe(), {root.fingerprint})
    check_section("WSL, the Windows side", (installing, removing), {sha1_of(root.der): "ROOT-SHA1"})
    assert (store.name, store.kind) == ("windows", Kind.BROWSER)


def test_a_root_comes_and_goes_on_the_windows_side(machine: Machine, windows: Windows, root: RootCertificate) -> None:
    store = WslStore(machine, windows)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.ABSENT
    assert execute(store.apply_plan(store.probe(), root), windows).done
    facts = store.probe()
    assert store.trust_state(facts, root.fingerprint).status is Status.APPLIED
    assert [found.fingerprint for found in facts.roots] == [root.fingerprint]
    assert not store.apply_plan(facts, root)
    assert not store.undo_plan(facts, facts, {root.fingerprint})
    assert execute(store.revert_plan(facts, {root.fingerprint}), windows).done
    assert windows.held == []


@pytest.mark.parametrize(
    "closed", [NotFinished(StepFailure.FAILED, "Exec format error"), Finished(1, b"", b"Exec format error")]
)
def test_without_interop_the_way_on_the_windows_side_is_told(
    machine: Machine, windows: Windows, root: RootCertificate, closed: Finished | NotFinished
) -> None:
    windows.interop = closed
    store = WslStore(machine, windows)
    facts = store.probe()
    state = store.trust_state(facts, root.fingerprint)
    assert (state.status, "Exec format error" in state.detail) == (Status.MANUAL, True)
    assert "certutil -user -addstore Root devtls-root.cer" in store.explain(facts, root)
    assert not store.apply_plan(facts, root)


def test_without_wslpath_nothing_is_guessed(machine: Machine, windows: Windows, root: RootCertificate) -> None:
    (machine.root / "usr/bin/wslpath").unlink()
    store = WslStore(machine, windows)
    assert store.trust_state(store.probe(), root.fingerprint).status is Status.MANUAL


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/me/a b.pem", "\\\\wsl.localhost\\Debian\\home\\me\\a b.pem"),
        ("/mnt/c/Users/me/root.pem", "C:\\Users\\me\\root.pem"),
        ("/mnt/wsl/root.pem", "\\\\wsl.localhost\\Debian\\mnt\\wsl\\root.pem"),
    ],
)
def test_a_path_is_translated_both_ways_round(path: str, name: str) -> None:
    assert windows_path(PREFIX, PurePosixPath(path)) == name


def test_wsl_is_known_by_its_variables_and_by_its_kernel(machine: Machine) -> None:
    assert is_wsl(machine)
    plain = dataclasses.replace(machine, environ={})
    assert not is_wsl(plain)
    kernel = machine.root / "proc/sys/kernel/osrelease"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("6.6.87.2-microsoft-standard-WSL2\n")
    assert is_wsl(plain)


def test_both_sides_are_done_and_a_running_proxy_waits_for_linux_only(
    machine: Machine, windows: Windows, root: RootCertificate
) -> None:
    names = [store.name for store in find_stores(machine, windows)]
    assert names == ["system", "windows"]
    assert [store.name for store in find_stores(dataclasses.replace(machine, environ={}), ProcessRunner())] == [
        "system"
    ]
    assert not root_is_trusted(machine, windows, root.fingerprint)


@pytest.mark.parametrize(
    ("trouble", "status"), [(StepFailure.TIMED_OUT, Status.HANGING), (StepFailure.FAILED, Status.FAILED)]
)
def test_each_trouble_has_its_own_state_and_a_remedy(
    machine: Machine, windows: Windows, trouble: StepFailure, status: Status
) -> None:
    store = WslStore(machine, windows)
    state = store.read_failure(store.probe(), Outcome(None, trouble, "why"))
    assert (state.status, state.detail) == (status, "why")
    assert state.remedy
