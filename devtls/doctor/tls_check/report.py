"""The report of `devtls check`: four questions, remarks, one verdict, and the next steps.

Owns the shape, in words that are safe to print. The JSON form is made from the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    """The reaction of a browser."""

    FINE = "fine"
    NOTE = "note"
    WARNS = "warns"


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """One question or remark.

    `about` is its title, `because` completes "A browser would warn: …" ("" = it does not).
    """

    about: str
    mark: Mark
    sentence: str
    because: str = ""


Questions = tuple[CheckAnswer, CheckAnswer, CheckAnswer, CheckAnswer]
"""Issuer, dates, name, signatures."""


@dataclass(frozen=True, slots=True)
class TlsCheckReport:
    """The report on a server that showed a certificate; `error` is Chromium's name for the fault."""

    questions: Questions
    remarks: tuple[CheckAnswer, ...]
    error: str
    advice: tuple[str, ...]

    @property
    def troubles(self) -> tuple[str, ...]:
        """The reasons of a warning, none twice."""
        every = (*self.questions, *self.remarks)
        return tuple(dict.fromkeys(each.because for each in every if each.mark is Mark.WARNS))

    @property
    def warns(self) -> bool:
        """Whether a browser would warn."""
        return bool(self.troubles)

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
        if not self.warns:
            return "A browser opens this address without a warning."
        *others, last = self.troubles
        reasons = f"{', '.join(others)} and {last}" if others else last
        return f"A browser would warn: {reasons}{f' ({self.error})' if self.error else ''}."
