"""systemd's protocol for handing sockets over, and what a socket must be to be served."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import pytest

from devtls.errors import Refused
from devtls.system.machine.activation import ActivatedSocket, ActivatedSockets, receive, take_listen_fds
from tests.system.sockets import open_server, place


def take(
    monkeypatch: pytest.MonkeyPatch, sockets: Sequence[socket.socket], **variables: str
) -> tuple[ActivatedSockets, dict[str, str]]:
    environ = {"LISTEN_PID": "12", "LISTEN_FDS": str(len(sockets)), "OTHER": "stays", **variables}
    place(monkeypatch, sockets)
    inheritance = take_listen_fds(environ, 12)
    for handed in inheritance.sockets:
        handed.sock.close()
    return inheritance, environ


def names_of(inheritance: ActivatedSockets) -> list[str]:
    return [handed.name for handed in inheritance.sockets]


def test_sockets_are_known_by_name_and_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_server("127.0.0.1") as first, open_server("::1") as second:
        place(monkeypatch, [first, second])
        environ = {"LISTEN_PID": "12", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "https:http"}
        inheritance = take_listen_fds(environ, 12)
        assert names_of(inheritance) == ["https", "http"]
        assert [handed.port for handed in inheritance.sockets] == [sock.getsockname()[1] for sock in (first, second)]
        for handed in inheritance.sockets:
            assert not handed.sock.get_inheritable()
            assert handed.sock.proto == socket.IPPROTO_TCP
            handed.sock.close()
        assert environ == {}
        with socket.create_connection(first.getsockname()):  # the giver's own goes on
            first.accept()[0].close()


@pytest.mark.parametrize("names", ["", "only"])
def test_names_may_be_missing(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    with open_server("127.0.0.1") as first, open_server("127.0.0.1") as second:
        inheritance, environ = take(monkeypatch, [first, second], LISTEN_FDNAMES=names)
    assert names_of(inheritance) == [names, ""]
    assert environ == {"OTHER": "stays"}


@pytest.mark.parametrize("variables", [{"LISTEN_PID": "13"}, {"LISTEN_PID": ""}, {"LISTEN_PID": " 12"}])
def test_what_is_meant_for_another_process_is_left_alone_and_forgotten(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    with open_server("127.0.0.1") as sock:
        first = place(monkeypatch, [sock])
        environ = {"LISTEN_PID": "12", "LISTEN_FDS": "1", **variables}
        assert take_listen_fds(environ, 12) == ActivatedSockets()
        assert environ == {}
        os.close(first)  # it is still open


@pytest.mark.parametrize("count", ["-1", "many", "1e3", "65", "٣", "1000000", "9" * 5000])
def test_a_count_that_is_none_is_named(count: str) -> None:
    inheritance = take_listen_fds({"LISTEN_PID": "12", "LISTEN_FDS": count}, 12)
    assert inheritance.sockets == ()
    assert "LISTEN_FDS" in inheritance.notes[0]


def test_no_sockets_are_none() -> None:
    assert take_listen_fds({"LISTEN_PID": "12", "LISTEN_FDS": "0"}, 12) == ActivatedSockets()
    assert take_listen_fds({}, 12) == ActivatedSockets()


def test_what_cannot_be_served_is_closed_and_named() -> None:
    reading, writing = os.pipe()
    with (
        open_server("127.0.0.1") as good,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as local,
        socket.socket(socket.AF_INET) as silent,
    ):
        kinds = (datagrams, local, silent, good)
        descriptors = [(os.dup(sock.fileno()), name) for sock, name in zip(kinds, ("dns", "", "x", "y"), strict=True)]
        inheritance = receive([*descriptors, (reading, "pipe"), (999_999, "nothing")])
    os.close(writing)
    assert names_of(inheritance) == ["y"]
    inheritance.sockets[0].sock.close()
    assert [note.split("handed over ")[1] for note in inheritance.notes] == [
        "is one for datagrams: it is closed.",
        "is not one of TCP: it is closed.",
        "does not listen (Accept=yes in its unit?): it is closed.",
        "is no socket: it is closed.",
        "is no socket: it is closed.",
    ]
    assert "'dns'" in inheritance.notes[0]
    for descriptor in (*(number for number, _ in descriptors), reading):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize(("address", "shown"), [("0.0.0.0", r"0\.0\.0\.0:"), ("::", r"\[::\]:")])
def test_one_socket_that_other_machines_reach_refuses_all(address: str, shown: str) -> None:
    with open_server("127.0.0.1") as good, open_server(address) as strange:
        descriptors = [os.dup(good.fileno()), os.dup(strange.fileno())]
        with pytest.raises(Refused, match=shown) as caught:
            receive([(number, "https") for number in descriptors])
        assert f"127.0.0.1:{strange.getsockname()[1]}" in caught.value.hint
    for number in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


def test_a_system_that_cannot_say_whether_a_socket_listens_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(socket.socket):
        def getsockopt(self, *_: object) -> int:  # type: ignore[override]  # one answer to every question
            raise OSError(42, "Protocol not available")

    with open_server("127.0.0.1") as sock:
        number = os.dup(sock.fileno())
        monkeypatch.setattr(socket, "socket", Silent)
        (handed,) = receive([(number, "https")]).sockets
    assert isinstance(handed, ActivatedSocket)
    handed.sock.close()
