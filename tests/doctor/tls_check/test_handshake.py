"""Handshakes that come about in an unusual way, and those that do not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from devtls.doctor.tls_check.evidence import FailureReason, Handshake
from devtls.doctor.tls_check.handshake import chain_of
from tests.doctor.tls_check.conftest import NAME, Check
from tests.doctor.tls_check.pki import (
    HTTP_OK,
    Issued,
    accepting,
    showing,
)
from tests.doctor.tls_check.reading import WARNS, failure_of, remark, report_of


def test_hsts_is_told(check: Check, leaf: Issued, intermediate: Issued, tmp_path: Path) -> None:
    header = b"Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\r\n"
    answer = HTTP_OK.removesuffix(b"\r\n") + header
    with showing(tmp_path, leaf, intermediate, answer=answer) as port:
        report = report_of(check(port))
        warned = report_of(check(port, trusted=()))
    insists = (
        f"It tells browsers to insist on https for {NAME} and every name below it, for 365 days, on every port (HSTS)"
    )
    assert remark(report, "HSTS").sentence == insists + "."
    assert (
        remark(warned, "HSTS").sentence
        == insists + ": one that has been here before lets nobody click the warning away."
    )


def test_hsts_is_asked_for_over_http1_where_http2_is_spoken(
    check: Check, leaf: Issued, intermediate: Issued, tmp_path: Path
) -> None:
    answer = HTTP_OK.removesuffix(b"\r\n") + b"Strict-Transport-Security: max-age=0\r\n\r\n"
    with showing(
        tmp_path, leaf, intermediate, answer=answer, tune=lambda context: context.set_alpn_protocols(["h2", "http/1.1"])
    ) as port:
        finding = check(port)
    assert finding.evidence is not None
    assert (finding.evidence.handshake.alpn, finding.evidence.handshake.hsts) == ("h2", "max-age=0")
    assert "has browsers forget HSTS" in remark(report_of(finding), "HSTS").sentence


def wanting(*protocols: str) -> Callable[[ssl.SSLContext], None]:
    """Return a function that has a server want a certificate of its clients."""

    def tune(context: ssl.SSLContext) -> None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(list(protocols))

    return tune


@pytest.mark.parametrize("protocols", [("h2", "http/1.1"), ("http/1.1",)], ids=["h2", "http/1.1"])
def test_a_server_that_lets_in_known_clients_alone_is_told(
    check: Check, leaf: Issued, intermediate: Issued, tmp_path: Path, protocols: tuple[str, ...]
) -> None:
    """TLS 1.3 says so after the handshake: without a word on it, all would look well."""
    with showing(tmp_path, leaf, intermediate, tune=wanting(*protocols)) as port:
        report = report_of(check(port))
    said = remark(report, "Client")
    assert said.sentence.startswith("The server lets in only clients that show a certificate.")
    assert "`devtls cert NAME --client`" in said.sentence
    assert not report.warns


def old_protocol(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")


def test_a_server_without_anything_that_browsers_offer(
    check: Check, leaf: Issued, intermediate: Issued, tmp_path: Path
) -> None:
    with showing(tmp_path, leaf, intermediate, tune=old_protocol) as port:
        report = report_of(check(port))
    said = remark(report, "Connection")
    assert said.mark is WARNS
    assert said.sentence.startswith("The server speaks TLS 1.2 with ECDHE-ECDSA-AES128-SHA256, and nothing that ")
    assert "ERR_SSL_VERSION_OR_CIPHER_MISMATCH" in report.verdict


def test_a_server_that_shares_no_protocol(check: Check, leaf: Issued, intermediate: Issued, tmp_path: Path) -> None:
    """Its one cipher is for a key of another kind than its own."""

    def nothing_in_common(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")

    with showing(tmp_path, leaf, intermediate, tune=nothing_in_common) as port:
        failure = failure_of(check(port))
    assert failure.reason is FailureReason.NO_SHARED_PROTOCOL
    assert "shares no TLS version, cipher or key type with browsers" in failure.sentence
    assert "Switch TLS 1.2 and 1.3 on" in failure.advice[0]


def test_a_port_that_speaks_plain_http(check: Check) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with accepting(serve) as port:
        failure = failure_of(check(port, "localhost"))
    assert failure.reason is FailureReason.PLAIN_HTTP
    assert failure.sentence == f"localhost, port {port}, speaks plain HTTP, not TLS."
    assert failure.advice == (f"devtls serve app={port} puts https in front of it: https://app.localhost",)


def test_a_port_that_speaks_something_else(check: Check) -> None:
    with accepting(lambda connection: connection.sendall(b"SSH-2.0-x\r\n")) as port:
        failure = failure_of(check(port))
    assert failure.reason in (FailureReason.NOT_TLS, FailureReason.CUT)


def test_a_closed_port(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    failure = failure_of(check(port, "app.localhost"))
    assert failure.reason is FailureReason.REFUSED
    assert failure.sentence == f"Nothing listens on port {port} of app.localhost (127.0.0.1)."
    assert "devtls serve" in failure.advice[0] or "Port 8443 listens there" in failure.advice[0]


def test_a_server_that_says_nothing_in_time(check: Check) -> None:
    def wait(connection: socket.socket) -> None:
        while connection.recv(4096):
            continue

    with accepting(wait) as port:
        failure = failure_of(check(port, timeout_s=0.2))
    assert failure.reason is FailureReason.SILENT
    assert "--timeout" in failure.advice[0]


@contextmanager
def refusing(description: int) -> Iterator[int]:
    """Answer every hello with a fatal alert."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(bytes([21, 3, 3, 0, 2, 2, description]))

    with accepting(serve) as port:
        yield port


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        (ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME, FailureReason.UNRECOGNIZED_NAME),
        (ssl.AlertDescription.ALERT_DESCRIPTION_HANDSHAKE_FAILURE, FailureReason.NO_SHARED_PROTOCOL),
        (ssl.AlertDescription.ALERT_DESCRIPTION_PROTOCOL_VERSION, FailureReason.NO_SHARED_PROTOCOL),
        (ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR, FailureReason.OTHER_ALERT),
    ],
)
def test_an_alert_is_told_by_its_meaning(check: Check, alert: int, reason: FailureReason) -> None:
    with refusing(alert) as port:
        failure = failure_of(check(port, "shop.example.com"))
    assert failure.reason is reason, failure


class _Public:
    """A connection as Python 3.13 and later have it."""

    def get_unverified_chain(self) -> list[bytes]:
        return [b"leaf", b"intermediate"]


class _Certificate:
    def public_bytes(self, form: int) -> bytes:
        assert form == 2  # DER
        return b"leaf"


class _Private:
    """A connection as Python 3.11 and 3.12 have it."""

    class _sslobj:
        @staticmethod
        def get_unverified_chain() -> list[_Certificate]:
            return [_Certificate()]


class _Old:
    """A connection without either: only the server's own certificate can be had."""

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return b"leaf"


@pytest.mark.parametrize(
    ("connection", "chain"),
    [
        (_Public(), ((b"leaf", b"intermediate"), True)),
        (_Private(), ((b"leaf",), True)),
        (_Old(), ((b"leaf",), False)),
    ],
)
def test_the_chain_is_read_in_whatever_way_this_python_has(connection: object, chain: object) -> None:
    assert chain_of(cast(ssl.SSLSocket, connection)) == chain


def test_a_server_that_wants_a_certificate_of_the_clients_is_checked_all_the_same(
    check: Check, leaf: Issued, intermediate: Issued, tmp_path: Path
) -> None:
    def demand(context: ssl.SSLContext) -> None:
        context.load_verify_locations(cadata=intermediate.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED

    with showing(tmp_path, leaf, intermediate, tune=demand) as port:
        finding = check(port)
    assert not report_of(finding).warns


def test_a_certificate_that_cannot_be_read(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Handshake("127.0.0.1", (b"0\x03\x02\x01\x01",), True, "TLS 1.3", "TLS_AES_128_GCM_SHA256", "")
    monkeypatch.setattr("devtls.doctor.tls_check.check.perform_handshake", lambda _: shown)
    failure = failure_of(check(443))
    assert failure.reason is FailureReason.UNREADABLE
    assert "shows a certificate that cannot be read" in failure.sentence
