from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from devtls.doctor.health import ports
from devtls.doctor.health.authority import ProbedCa, probe_ca
from devtls.doctor.health.ports import PortOwner, probe_ports
from devtls.doctor.listener import listening, server_context
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki.imported import ImportBundle, validate_import
from devtls.system.machine.machine import Machine
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.keystore import Keystore
from tests.doctor.tls_check.pki import LeafSpec, self_signed, showing
from tests.pki.elsewhere import mkcert


@contextmanager
def serving(ca: ProbedCa, directory: Path) -> Iterator[int]:
    """Serve a leaf of the CA, as devtls would."""
    assert ca.authority is not None
    leaf = ca.authority.issue(Hostname("app.test"), now=datetime.now(UTC), key=new_leaf_key(), serial=new_serial())
    with listening(server_context(leaf, directory)) as here:
        yield here.port


def held(port: int, ca: ProbedCa, machine: Machine) -> PortOwner:
    (found,) = probe_ports([port, port], ca, machine)
    return found.held


def test_a_port_where_nobody_listens_is_free(ca: ProbedCa, machine: Machine) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert held(reserved.getsockname()[1], ca, machine) is PortOwner.FREE


def test_a_devtls_is_known_by_its_certificate(
    ca: ProbedCa, machine: Machine, keystore: Keystore, tmp_path: Path
) -> None:
    with serving(ca, tmp_path) as port:
        assert held(port, ca, machine) is PortOwner.OURS
        keystore.create(DEFAULT_ZONES, datetime.now(UTC))
        later = probe_ca(keystore.state_dir, datetime.now(UTC))
        assert held(port, later, machine) is PortOwner.OTHER_CA
        assert held(port, replace(later, authority=None), machine) is PortOwner.OTHER_CA


@pytest.mark.parametrize(("holder", "whose"), [("devtls", PortOwner.OURS), ("node", PortOwner.OTHERS)])
def test_an_imported_ca_signs_for_others_as_well_so_the_holder_decides(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str, whose: PortOwner
) -> None:
    made, now = mkcert(), datetime.now(UTC)
    brought, keystore = ImportBundle(made.certificate, made.key), Keystore(tmp_path / "imported")
    judged = validate_import(brought, zones=(), parse_zone=Hostname, now=now, pki_port=29444)
    keystore.adopt(judged.authority, now)
    ca = probe_ca(keystore.state_dir, now)
    monkeypatch.setattr(ports, "port_holder", lambda _number: f"{holder} (process 1)")
    assert not ca.facts.limited
    with serving(ca, tmp_path) as port:
        assert held(port, ca, machine) is whose


def test_another_certificate_and_no_tls_at_all_are_other_programs(
    ca: ProbedCa, machine: Machine, tmp_path: Path
) -> None:
    with showing(tmp_path, self_signed(LeafSpec())) as port:
        assert held(port, ca, machine) is PortOwner.OTHERS
    with _plain_server(b"no list") as port:
        (found,) = probe_ports([port], ca, machine)
    assert found.held is PortOwner.OTHERS
    assert f"(process {os.getpid()})" in found.holder


def test_a_port_that_the_system_sends_to_the_stand_in_is_held_by_who_is_there(
    ca: ProbedCa, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "is_listened_to", lambda _number: False)
    with serving(ca, tmp_path) as port, socket.create_server(("127.0.0.1", 0)) as stand_in:
        monkeypatch.setattr(ports, "STAND_IN", stand_in.getsockname()[1])
        (found,) = probe_ports([port], ca, machine)
    assert found.held is PortOwner.OURS
    assert f"(process {os.getpid()})" in found.holder


def test_somebody_who_listens_and_is_not_reached_is_lost(
    ca: ProbedCa, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(ports, "_listens", lambda _address, _number: False)  # as with a redirect to nowhere
        (found,) = probe_ports([server.getsockname()[1]], ca, machine)
    assert found.held is PortOwner.LOST
    assert f"(process {os.getpid()})" in found.holder


def test_a_queue_that_is_full_belongs_to_somebody(
    ca: ProbedCa, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object) -> socket.socket:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", wait)
    assert held(29443, ca, machine) is PortOwner.OTHERS


def test_on_the_port_for_redirects_no_certificate_is_asked_for(
    ca: ProbedCa, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        monkeypatch.setattr(ports, "HTTP", server.getsockname()[1])
        assert held(server.getsockname()[1], ca, machine) is PortOwner.OTHERS
        knock, _ = server.accept()
        with knock:
            assert knock.recv(1) == b""


@contextmanager
def _plain_server(body: bytes, port: int = 0) -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", port), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("answer", "whose"), [("the root", PortOwner.OURS), ("another", PortOwner.OTHERS)])
def test_the_cas_own_port_is_known_by_the_root_that_it_offers(
    ca: ProbedCa, machine: Machine, answer: str, whose: PortOwner
) -> None:
    assert ca.authority is not None
    body = ca.authority.root_der if answer == "the root" else b"?"
    with _plain_server(body, ca.authority.pki_port) as port:
        assert held(port, ca, machine) is whose


def test_somebody_who_hangs_up_on_the_cas_own_port_is_another_program(ca: ProbedCa, machine: Machine) -> None:
    assert ca.authority is not None
    with socket.create_server(("127.0.0.1", ca.authority.pki_port)) as server:

        def hang_up() -> None:
            for _ in range(2):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        assert held(ca.authority.pki_port, ca, machine) is PortOwner.OTHERS
        thread.join(5)


@pytest.mark.parametrize(("written", "closed"), [("1024", True), ("80", False), ("rubbish", True), (None, True)])
def test_low_ports_are_closed_by_the_kernels_own_word(
    ca: ProbedCa, machine: Machine, monkeypatch: pytest.MonkeyPatch, written: str | None, closed: bool
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    if written is not None:
        file = machine.root / "proc/sys/net/ipv4/ip_unprivileged_port_start"
        file.parent.mkdir(parents=True)
        file.write_text(written)
    (found,) = probe_ports([409], ca, machine)
    assert found.closed is closed
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert not probe_ports([409], ca, machine)[0].closed
    assert not probe_ports([409], ca, replace(machine, platform="darwin"))[0].closed
