"""Who holds a port, in a made-up /proc and in the real one."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from devtls.system.machine.port_holder import find_holder, is_listened_to, port_holder

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(port: int, state: str, inode: int, uid: int = 1000) -> str:
    other = "00000000:0000"
    return f"   0: 0100007F:{port:04X} {other} {state} 00000000:00000000 00:00000000 00000000  {uid} 0 {inode} 1\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(HEADER + line(443, "0A", 77) + line(444, "01", 78) + line(445, "0A", 79))
    (tmp_path / "net/udp").write_text(HEADER + line(443, "07", 79) + line(444, "07", 77))
    for pid, name, inode in ((12, "nginx", 77), (13, "", 79)):
        (tmp_path / f"{pid}/fd").mkdir(parents=True)
        (tmp_path / f"{pid}/fd/3").symlink_to(f"socket:[{inode}]")
        if name:
            (tmp_path / f"{pid}/comm").write_text(name + "\n")
    (tmp_path / "11").mkdir()  # ended between two looks
    return tmp_path


@pytest.mark.parametrize(
    ("port", "holder"), [(443, "nginx (process 12)"), (444, ""), (445, "a process (process 13)"), (446, "")]
)
def test_a_listener_is_found(proc: Path, port: int, holder: str) -> None:
    assert port_holder(port, proc=proc) == holder


@pytest.mark.parametrize(
    ("address", "state", "listened"),
    [
        ("0100007F", "0A", True),
        ("0900097F", "0A", True),
        ("00000000", "0A", True),
        ("0200000A", "0A", False),
        ("0100007F", "01", False),
        ("00000000000000000000000001000000", "0A", True),
        ("00000000000000000000000000000000", "0A", True),
        ("0000000000000000FFFF00000100007F", "0A", True),
        ("0000000000000000FFFF00000200000A", "0A", False),
        ("B80D0120000000000000000001000000", "0A", False),
    ],
)
@pytest.mark.skipif(sys.byteorder == "big", reason="the addresses are as a little-endian kernel writes them")
def test_who_can_be_reached_on_loopback_listens(proc: Path, address: str, state: str, listened: bool) -> None:
    table = "tcp" if len(address) == 8 else "tcp6"
    (proc / "net" / table).write_text(HEADER + line(447, state, 99).replace("0100007F", address))
    assert is_listened_to(447, proc=proc) is listened
    assert not is_listened_to(448, proc=proc)


@pytest.mark.parametrize(("port", "holder"), [(443, "a process (process 13)"), (444, "nginx (process 12)"), (445, "")])
def test_a_socket_for_datagrams_is_found(proc: Path, port: int, holder: str) -> None:
    assert port_holder(port, protocol="udp", proc=proc) == holder


def test_a_holder_stays_until_its_descriptor_is_another_socket_or_gone(proc: Path) -> None:
    holder, nobody = find_holder(443, proc=proc), find_holder(446, proc=proc)
    assert holder.stays
    assert not nobody.stays
    (proc / "12/fd/3").unlink()
    assert not holder.stays
    (proc / "12/fd/3").symlink_to("socket:[80]")
    assert not holder.stays


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_of_another_users_process_the_user_is_known(proc: Path) -> None:
    me = os.geteuid()
    strangers = line(450, "0A", 90, 4_000_000) + line(451, "0A", 91, 1) + line(452, "0A", 92, me)
    mixed = line(453, "0A", 93, me) + line(453, "0A", 94, me + 1)
    (proc / "net/tcp6").write_text(HEADER + strangers + mixed)
    assert port_holder(450, proc=proc) == "a program of user 4000000"
    assert port_holder(451, proc=proc) == "a program of daemon"
    assert port_holder(452, proc=proc) == ""
    assert port_holder(453, proc=proc) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_the_real_kernels_tables_are_read(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert is_listened_to(port)
    assert not is_listened_to(port)


def test_without_proc_nobody_is_guessed(tmp_path: Path) -> None:
    assert port_holder(443, proc=tmp_path) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_the_real_proc() -> None:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((address, 0), family=family) as server:
            assert f"process {os.getpid()}" in port_holder(server.getsockname()[1])
        with socket.socket(family, socket.SOCK_DGRAM) as receiver:
            receiver.bind((address, 0))
            assert f"process {os.getpid()}" in port_holder(receiver.getsockname()[1], protocol="udp")
