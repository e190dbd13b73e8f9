"""The running proxies as commands meet them: answers, silence, other versions, and which one is meant."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from devtls.errors import DevtlsError, ExitCode, NotRunning, Refused
from devtls.operations import control
from devtls.operations.control import RunningProxy, choose, find_running, raise_failure
from devtls.system.control import unix_socket as control_socket
from devtls.system.control.unix_socket import ControlSocket, open_control_socket
from devtls.system.machine.paths import Paths
from devtls.web.control_messages import STATUS, About, Done, ErrorInfo, StatusAnswer
from tests.operations.recording import RecordingReporter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")

Answering = Callable[[bytes], Path]


def http(status: int, content: object) -> bytes:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return b"HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)


ABOUT = About(version="1", pid=os.getpid(), https_port=8443, config_file="/project/devtls.toml")


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Return a function that opens a control socket on which every question gets the same bytes."""
    opened = []
    threads = []

    def begin(answer: bytes) -> Path:
        place, listening = open_control_socket(Paths.from_environment().runtime_dir)
        listening.setblocking(True)
        listening.settimeout(0.05)
        ending = threading.Event()
        opened.append((listening, ending))

        def serve() -> None:
            while not ending.is_set():
                try:
                    client, _ = listening.accept()
                except TimeoutError:
                    continue
                with client, contextlib.suppress(OSError):  # who asks may go away first
                    client.settimeout(5)
                    client.recv(65536)
                    if answer == b"silence":
                        ending.wait(5)
                    client.sendall(b"" if answer == b"silence" else answer)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return place.path

    yield begin
    for _, ending in opened:
        ending.set()
    for thread in threads:
        thread.join()
    for listening, _ in opened:
        listening.close()


def test_who_answers_is_found(answering: Answering) -> None:
    answering(http(200, ABOUT))
    (one,) = find_running(Paths.from_environment(), RecordingReporter())
    assert one.about == ABOUT
    assert one.label == f"devtls serve (process {os.getpid()})"
    assert one.reads(Path("/project/../project/devtls.toml"))
    assert not one.reads(Path("/other/devtls.toml"))


@pytest.mark.parametrize("answer", [b"", b"silence"])
def test_who_is_gone_is_passed_over_and_who_is_silent_is_named(
    answering: Answering, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_TIMEOUT_S", 0.15)
    answering(answer)
    reporter = RecordingReporter()
    assert find_running(Paths.from_environment(), reporter) == []
    told = " ".join(f"{error} {error.hint}" for error in reporter.raised)
    assert ("does not answer in time" in told) is (answer == b"silence")
    assert (f"kill {os.getpid()}" in told) is (answer == b"silence")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (http(404, Done(error=ErrorInfo("GET /v2/x is nothing that this devtls can do."))), "GET /v2/x is nothing"),
        (http(500, b"oops"), "without a reason"),
        (http(200, b"{}"), "missing required field"),
        (b"nonsense\r\n\r\n", "as it should"),
    ],
)
def test_another_version_is_named(answering: Answering, answer: bytes, told: str) -> None:
    one = RunningProxy(ControlSocket(answering(answer), 77), ABOUT)
    with pytest.raises(DevtlsError, match=told) as caught:
        one.get(STATUS, StatusAnswer)
    assert "process 77" in str(caught.value)
    assert caught.value.hint == "kill 77, then devtls serve"


def test_a_socket_of_another_user_is_named_and_passed_over(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(http(200, ABOUT))
    monkeypatch.setattr(control_socket, "peer_uid", lambda _: os.geteuid() + 1)
    reporter = RecordingReporter()
    assert find_running(Paths.from_environment(), reporter) == []
    assert "belongs to another user" in str(reporter.raised[0])


def test_a_directory_that_others_can_write_is_not_looked_into(answering: Answering) -> None:
    answering(http(200, ABOUT)).parent.chmod(0o777)
    reporter = RecordingReporter()
    assert find_running(Paths.from_environment(), reporter) == []
    assert "others could put a socket" in str(reporter.raised[0])


def proxy(pid: int, file: str | None = None) -> RunningProxy:
    about = About(version="1", pid=pid, https_port=8000 + pid, config_file=file)
    return RunningProxy(ControlSocket(Path("/x"), pid), about)


def test_which_one_is_meant() -> None:
    here = Path("/project/devtls.toml")
    one, two = proxy(1, str(here)), proxy(2)
    assert choose([two], None, here, "stop") is two
    assert choose([one, two], None, here, "stop") is one
    assert choose([one, two], 2, here, "stop") is two
    with pytest.raises(NotRunning):
        choose([], None, None, "stop")
    with pytest.raises(NotRunning, match="process id 3"):
        choose([one, two], 3, None, "stop")
    with pytest.raises(Refused, match=r"2 of them run: 1 \(port 8001\), 2 \(port 8002\)") as caught:
        choose([one, two], None, None, "stop")
    assert caught.value.hint == "devtls stop --pid 1"


def test_an_error_keeps_its_hint_and_exit_code() -> None:
    raise_failure(None)
    with pytest.raises(DevtlsError, match="it: no") as caught:
        raise_failure(ErrorInfo("no", "try this", exit_code=3), "it: ")
    assert (caught.value.hint, caught.value.exit_code) == ("try this", ExitCode.CONFIG)
    with pytest.raises(DevtlsError) as caught:
        raise_failure(ErrorInfo("no", exit_code=4711))
    assert caught.value.exit_code is ExitCode.FAILED
