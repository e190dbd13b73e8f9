"""How the tests read what a check found: a report or a failure, the marks of the four questions, one remark."""

from __future__ import annotations

from devtls.doctor.tls_check.check import TlsCheckResult
from devtls.doctor.tls_check.failure import TlsCheckFailure
from devtls.doctor.tls_check.report import CheckAnswer, Mark, TlsCheckReport

FINE, NOTE, WARNS = Mark.FINE, Mark.NOTE, Mark.WARNS


def report_of(finding: TlsCheckResult) -> TlsCheckReport:
    assert isinstance(finding.report, TlsCheckReport), finding.report
    return finding.report


def failure_of(finding: TlsCheckResult) -> TlsCheckFailure:
    assert isinstance(finding.report, TlsCheckFailure), finding.report
    return finding.report


def marks(report: TlsCheckReport) -> tuple[Mark, ...]:
    """Return issuer, dates, name, signatures."""
    return tuple(each.mark for each in report.questions)


def remark(report: TlsCheckReport, about: str) -> CheckAnswer:
    found = [each for each in report.remarks if each.about == about]
    assert len(found) == 1, report.remarks
    return found[0]
