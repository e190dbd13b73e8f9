from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.doctor.clients import CLIENTS, Client, Needs
from devtls.doctor.listener import listening, server_context
from devtls.doctor.proof import ClientProof, ForeignOutcome, ProofFiles, Verdict, prove
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki.authority import FOREIGN_NAME, Authority, NewKey, create_authority, issue_foreign_probe
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.randomness import new_leaf_key, new_serial


def now() -> datetime:
    """Return the moment: the foreign leaf lives five minutes, and the whole suite may take longer."""
    return datetime.now(UTC)


RUNNER = ProcessRunner()


@pytest.fixture(scope="module")
def authority() -> Authority:
    curve = ec.SECP256R1()
    return create_authority(
        DEFAULT_ZONES,
        now=now(),
        pki_port=20000,
        root=NewKey(ec.generate_private_key(curve), x509.random_serial_number()),
        intermediates={
            "server": NewKey(ec.generate_private_key(curve), x509.random_serial_number()),
            "client": NewKey(ec.generate_private_key(curve), x509.random_serial_number()),
        },
    )


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> ProofFiles:
    """The root alone stands for the merged bundle: nothing here asks for another site."""
    root = tmp_path / "root.pem"
    root.write_bytes(authority.root_pem)
    return ProofFiles(tmp_path, lambda _: root)


MEET = "import socket, ssl, sys; c = ssl._create_unverified_context(); " + (
    "c.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1])))).close()"
)


def _script(tmp_path: Path, script: str, *, needs: Needs = Needs.ROOT, meets: bool = True) -> tuple[Path, Client]:
    """Return a client that does `script` and then, unless that ended it, one handshake that it believes blindly."""
    tool = tmp_path / "client"
    meeting = f'exec {sys.executable} -I -c "{MEET}" "$2"' if meets else ""
    tool.write_text(f"#!/bin/sh\nname=$1 root=$EXTRA\n{script}\n{meeting}\n")
    tool.chmod(0o755)
    return tool, Client("fake", ("fake",), lambda probe: (probe.name, str(probe.port)), "EXTRA", needs)


def _one(authority: Authority, tool: Path, client: Client, files: ProofFiles) -> ClientProof:
    (report,) = prove(authority, {tool: client}, files, RUNNER, now())
    return report


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_real_client_trusts_with_its_variable_and_refuses_the_foreign_name(
    client: Client, authority: Authority, files: ProofFiles
) -> None:
    found = shutil.which(client.names[0])
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{client.name} is missing")
        pytest.skip(f"{client.name} is missing")
    report = _one(authority, Path(found), client, files)
    assert (report.verdict, report.foreign) == (Verdict.TRUSTED_WITH, ForeignOutcome.REFUSED_FOR_NAME), report
    assert str(report) == f"trusted with {client.variable}={files.for_client(client)}"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_real_client_says_that_it_does_not_know_the_root(
    client: Client, authority: Authority, files: ProofFiles
) -> None:
    found = shutil.which(client.names[0])
    if found is None:
        pytest.skip(f"{client.name} is missing")
    report = _one(authority, Path(found), client, ProofFiles(files.private_directory, lambda _: None))
    assert str(report) == "refused: it does not know the root"
    assert report.foreign is ForeignOutcome.NOT_TRIED


def test_a_client_that_works_bare_needs_nothing(authority: Authority, files: ProofFiles, tmp_path: Path) -> None:
    refuse = f'[ "$name" != {FOREIGN_NAME} ] || {{ echo permitted subtree violation >&2; exit 1; }}'
    report = _one(authority, *_script(tmp_path, refuse), files)
    assert str(report) == "trusted"
    assert report.foreign is ForeignOutcome.REFUSED_FOR_NAME


def test_a_client_that_accepts_the_foreign_name_is_caught(
    authority: Authority, files: ProofFiles, tmp_path: Path
) -> None:
    report = _one(authority, *_script(tmp_path, ""), files)
    assert (report.verdict, report.foreign) == (Verdict.TRUSTED, ForeignOutcome.ACCEPTED)


def test_a_client_that_never_made_a_handshake_trusts_nothing(
    authority: Authority, files: ProofFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtls.doctor.proof._SETTLE_S", 0.05)
    report = _one(authority, *_script(tmp_path, "exit 0", meets=False), files)
    assert (report.verdict, report.foreign) == (Verdict.REFUSED, ForeignOutcome.NOT_TRIED)
    assert "never finished a TLS handshake" in str(report)


def test_a_foreign_name_that_was_never_offered_was_not_accepted(
    authority: Authority, files: ProofFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtls.doctor.proof._SETTLE_S", 0.05)
    script = f'[ "$name" != {FOREIGN_NAME} ] || exit 0'
    report = _one(authority, *_script(tmp_path, script), files)
    assert (report.verdict, report.foreign) == (Verdict.TRUSTED, ForeignOutcome.REFUSED_OTHERWISE)
    assert "never finished a TLS handshake" in report.foreign_why


def test_a_foreign_name_refused_for_another_reason_is_told_apart(
    authority: Authority, files: ProofFiles, tmp_path: Path
) -> None:
    script = f'[ "$name" != {FOREIGN_NAME} ] || {{ echo certificate has expired >&2; exit 1; }}'
    report = _one(authority, *_script(tmp_path, script), files)
    assert (report.foreign, report.foreign_why) == (ForeignOutcome.REFUSED_OTHERWISE, "certificate has expired")


def test_a_client_that_no_variable_helps_is_refused(authority: Authority, files: ProofFiles, tmp_path: Path) -> None:
    report = _one(authority, *_script(tmp_path, 'echo "pinned" >&2; exit 1'), files)
    assert str(report) == "refused: pinned"


def test_a_client_without_a_bundle_to_use_is_refused(authority: Authority, files: ProofFiles, tmp_path: Path) -> None:
    tool, client = _script(tmp_path, "echo unknown ca >&2; exit 1", needs=Needs.BUNDLE)
    report = _one(authority, tool, client, ProofFiles(files.private_directory, lambda _: None))
    assert str(report) == "refused: it does not know the root"


def test_a_client_that_hangs_does_not_stop_the_others(
    authority: Authority, files: ProofFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtls.doctor.proof.CLIENT_S", 1.0)
    (tmp_path / "a").mkdir()
    hanging, client = _script(tmp_path, "sleep 60")
    working, other = _script(tmp_path / "a", "")
    reports = prove(authority, {hanging: client, working: other}, files, RUNNER, now())
    assert str(reports[0]) == "refused: it did not end in time"
    assert reports[1].verdict is Verdict.TRUSTED


def test_a_client_that_cannot_be_started_is_refused(authority: Authority, files: ProofFiles, tmp_path: Path) -> None:
    _, client = _script(tmp_path, "")
    assert _one(authority, tmp_path / "gone", client, files).verdict is Verdict.REFUSED


def test_without_clients_there_is_nothing_to_report(authority: Authority, files: ProofFiles) -> None:
    assert prove(authority, {}, files, RUNNER, now()) == ()


def test_a_listener_serves_its_certificate_notices_handshakes_and_goes_away(
    authority: Authority, files: ProofFiles
) -> None:
    name = Hostname("app.dev.local")
    leaf = authority.issue(name, now=now(), key=new_leaf_key(), serial=new_serial())
    probe_leaf = issue_foreign_probe(authority, now=now(), key=new_leaf_key(), serial=new_serial())
    trusted, foreign = (
        server_context(leaf, files.private_directory),
        server_context(probe_leaf, files.private_directory),
    )
    client = ssl.create_default_context(cadata=authority.root_pem.decode())
    with listening(trusted) as here, listening(foreign) as unwanted:
        with (
            socket.create_connection(("127.0.0.1", here.port), 5) as plain,
            client.wrap_socket(plain, server_hostname=name) as secured,
        ):
            secured.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert secured.recv(12) == b"HTTP/1.1 200"
        assert here.handshake.is_set()
        with (
            socket.create_connection(("127.0.0.1", unwanted.port), 5) as plain,
            pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"),
        ):
            client.wrap_socket(plain, server_hostname=FOREIGN_NAME)
        with socket.create_connection(("127.0.0.1", unwanted.port), 5) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                while plain.recv(100):
                    continue
        assert not unwanted.handshake.is_set()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", here.port), 5)


def test_a_listener_ends_at_once(authority: Authority, files: ProofFiles) -> None:
    leaf = authority.issue(Hostname("app.dev.local"), now=now(), key=new_leaf_key(), serial=new_serial())
    context, start = server_context(leaf, files.private_directory), time.monotonic()
    for _ in range(200):
        with listening(context):
            pass
    assert time.monotonic() - start < 4
