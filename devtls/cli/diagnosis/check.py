"""`devtls check`: what a browser would decide about a server, and why.

Owns how the answers look: four lines with a mark each, what else there is, the verdict, what to do; or JSON. Decides
nothing. The exit code is 0 when a browser would open the address, 1 when it would warn, 8 without a connection.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from devtls.cli.terminal.output import paint, print_json, wrapped
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.terminal.rows import Symbol, marked_row
from devtls.doctor.tls_check.address import Address, parse_address
from devtls.doctor.tls_check.certificate import Certificate
from devtls.doctor.tls_check.check import CheckEnvironment, TlsCheckResult, check_server
from devtls.doctor.tls_check.evidence import Evidence, FailureReason, StoreAnswer
from devtls.doctor.tls_check.failure import TlsCheckFailure
from devtls.doctor.tls_check.handshake import CheckTarget
from devtls.doctor.tls_check.report import CheckAnswer, Mark, TlsCheckReport
from devtls.doctor.tls_check.stores import GivenRoots, read_given
from devtls.errors import CertificateError, ExitCode, InvalidAddress, NoConnection
from devtls.operations.config_choice import report_mistake
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore

_SYMBOLS = {Mark.FINE: Symbol.OK, Mark.NOTE: Symbol.NOTE, Mark.WARNS: Symbol.ERROR}
_PROTOCOLS = {"h2": "HTTP/2", "http/1.1": "HTTP/1.1", "": "no ALPN"}
_LABEL_WIDTH = 12


@click.command()
@click.argument("address", metavar="URL|HOST[:PORT]", required=False)
@click.option("--connect", metavar="ADDRESS", help="Connect there, whatever the name resolves to (IP address or host).")
@click.option("--ca", "files", multiple=True, metavar="FILE", help="Trust the roots in this file as well (repeatable).")
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=10.0, metavar="SECONDS", help="For each step (10).")
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
def command(address: str | None, connect: str | None, files: tuple[str, ...], timeout: float, as_json: bool) -> int:
    """Say what a browser would decide about a server's certificate, and why.

    Any server, not only devtls. Nothing on this machine is changed.
    """
    if address is None:
        raise InvalidAddress("Which server?", hint="devtls check https://app.dev.local, or any other address")
    wanted = parse_address(address)
    there = parse_address(connect, wanted.port) if connect is not None else wanted
    paths, machine = Paths.from_environment(), Machine.here()
    report_mistake(paths, TerminalReporter())
    given = tuple(_read_given(name) for name in files)
    environment = CheckEnvironment(
        machine, ProcessRunner(), Keystore(paths.state_dir, terminal_passphrases()), given, datetime.now(UTC)
    )
    finding = check_server(CheckTarget(wanted, str(there.host), there.port, timeout), environment)
    if as_json:
        print_json(as_values(wanted, finding))
    elif isinstance(finding.report, TlsCheckFailure):
        raise _error(finding.report)
    elif finding.evidence is not None:
        click.echo(in_words(finding.report, finding.evidence))
    return _exit_code(finding.report)


def _read_given(name: str) -> GivenRoots:
    try:
        return read_given(Path(name))
    except OSError as error:
        raise click.BadParameter(f"{name} cannot be read: {error.strerror}.", param_hint="--ca") from error
    except CertificateError as error:
        raise click.BadParameter(str(error), param_hint="--ca") from error


def _exit_code(report: TlsCheckReport | TlsCheckFailure) -> ExitCode:
    if isinstance(report, TlsCheckFailure):
        return ExitCode.FAILED if report.reason is FailureReason.UNREADABLE else ExitCode.NO_CONNECTION
    return ExitCode.FAILED if report.warns else ExitCode.OK


def _error(failure: TlsCheckFailure) -> NoConnection:
    error = NoConnection(failure.sentence, hint="\n       ".join(failure.advice))
    error.exit_code = _exit_code(failure)
    return error


def in_words(report: TlsCheckReport, evidence: Evidence) -> str:
    """Return the whole answer as text."""
    lines = [*wrapped(_head(evidence)), ""]
    lines += [line for each in report.questions for line in _row(each)]
    if report.remarks:
        lines += ["", *(line for each in report.remarks for line in _row(each))]
    symbol = Symbol.ERROR if report.warns else Symbol.OK
    lines += ["", *(paint(line, *symbol.codes) for line in wrapped(report.verdict))]
    if report.advice:
        lines += ["", "What to do:", *(line for each in report.advice for line in wrapped(each, "  - ", "    "))]
    return "\n".join(lines)


def _head(evidence: Evidence) -> str:
    address, handshake = evidence.address, evidence.handshake
    alpn = _PROTOCOLS.get(handshake.alpn, handshake.alpn)
    return f"{address.host}, port {address.port}, at {handshake.ip}: {handshake.protocol}, {handshake.cipher}, {alpn}"


def _row(answer: CheckAnswer) -> list[str]:
    return marked_row(_SYMBOLS[answer.mark], answer.about, answer.sentence, _LABEL_WIDTH)


def as_values(address: Address, finding: TlsCheckResult) -> dict[str, object]:
    """Return the answer as JSON values."""
    report, evidence = finding.report, finding.evidence
    where = {"host": str(address.host), "port": address.port, "url": address.url}
    if isinstance(report, TlsCheckFailure) or evidence is None:
        return {"address": where, "connected": False, "browser_warns": True, **_failure_values(report)}
    handshake = evidence.handshake
    return {
        "address": {**where, "ip": handshake.ip},
        "connected": True,
        "browser_warns": report.warns,
        "verdict": report.verdict,
        "chromium_error": report.error,
        "questions": {each.about.lower(): _answer_values(each) for each in report.questions},
        "remarks": [{"about": each.about.lower(), **_answer_values(each)} for each in report.remarks],
        "advice": list(report.advice),
        "connection": {
            "protocol": handshake.protocol,
            "cipher": handshake.cipher,
            "alpn": handshake.alpn,
            "hsts": handshake.hsts,
            "wants_certificate": handshake.wants_certificate,
        },
        "stores": [_store_values(store) for store in evidence.stores],
        "verifiers": [
            {"name": each.verifier, "accepts": each.accepts, "says": each.says} for each in evidence.verifiers
        ],
        "path": {
            "ends": evidence.path.end.value,
            "certificates": [_certificate_values(each, finding.sent) for each in evidence.path.certificates],
        },
    }


def _failure_values(failure: TlsCheckReport | TlsCheckFailure) -> dict[str, object]:
    if isinstance(failure, TlsCheckReport):
        return {}
    return {"reason": failure.reason.value, "verdict": failure.sentence, "advice": list(failure.advice)}


def _answer_values(answer: CheckAnswer) -> dict[str, object]:
    return {"mark": answer.mark.value, "sentence": answer.sentence}


def _store_values(store: StoreAnswer) -> dict[str, object]:
    return {
        "name": store.name,
        "label": store.label,
        "kind": store.kind,
        "trusts": store.trusts,
        "detail": store.detail,
    }


def _certificate_values(certificate: Certificate, sent: tuple[Certificate, ...]) -> dict[str, object]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names),
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "serial": f"{certificate.raw.serial_number:x}",
        "sha256": certificate.fingerprint,
        "sent": any(each.fingerprint == certificate.fingerprint for each in sent),
    }
