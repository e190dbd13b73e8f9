"""The numbers as a table for people (Markdown, as in the documentation) and as JSON for programs, and the gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

Samples = Mapping[str, Sequence[float]]

SUBJECT = "devtls"
PEER = "Caddy"
MODEL = "nginx"
_COMPARED = (f"{SUBJECT} : {PEER}", "goal", f"{SUBJECT} : {MODEL}", "aim")


@dataclass(frozen=True)
class Measurement:
    """One row: samples per contender, and what devtls may cost at most, as a share of Caddy's median.

    `aim` is what it would like to cost, as a multiple of nginx's; missing it is no failure.
    """

    title: str
    unit: str
    samples: Samples
    gate: float | None = None
    aim: float | None = None

    def value(self, label: str) -> float | None:
        values = self.samples.get(label)
        return median(values) if values else None

    @property
    def ratio(self) -> float | None:
        """Return devtls / Caddy, None when one of them was not measured."""
        return self._share_of(PEER)

    @property
    def model_ratio(self) -> float | None:
        """Return devtls / nginx, None when one of them was not measured."""
        return self._share_of(MODEL)

    @property
    def met(self) -> bool | None:
        """Return whether the gate holds, None when there is none or nothing to compare."""
        return None if self.gate is None or self.ratio is None else self.ratio <= self.gate

    def _share_of(self, label: str) -> float | None:
        ours, theirs = self.value(SUBJECT), self.value(label)
        return ours / theirs if ours is not None and theirs else None


@dataclass(frozen=True)
class Report:
    """One run of the harness."""

    date: str
    machine: str
    versions: Mapping[str, str]
    command: str
    rows: list[Measurement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Measurement]:
        """Return the rows whose gate does not hold; with both in the run, one that was not measured is such a row."""
        both = {SUBJECT, PEER} <= self.versions.keys()
        return [row for row in self.rows if row.met is False or (both and row.gate is not None and row.met is None)]

    def as_json(self) -> dict[str, object]:
        rows = [
            {
                **asdict(row),
                "median": {label: row.value(label) for label in self.versions},
                "ratio": row.ratio,
                "model_ratio": row.model_ratio,
                "met": row.met,
            }
            for row in self.rows
        ]
        run = {"date": self.date, "machine": self.machine, "versions": dict(self.versions)}
        return {**run, "rows": rows, "notes": self.notes}


def without_h2(label: str) -> str:
    """Return the note about a contender that is missing from the rows of h2."""
    return f"{label} does not negotiate h2: its h2 rows are empty."


def markdown(report: Report) -> str:
    """Return the table and the lines under it."""
    labels = list(report.versions)
    heads = ["", *(f"{label} {version}" for label, version in report.versions.items()), *_COMPARED]
    lines = [_row(heads), _row(["---", *["---:"] * (len(heads) - 1)])]
    for row in report.rows:
        cells = [_cell(row.value(label), row.unit) for label in labels]
        lines.append(_row([row.title, *cells, _ratio(row.ratio), _goal(row), _ratio(row.model_ratio), _aim(row)]))
    lines += ["", f"Medians, {report.date}, {report.machine}; made by `{report.command}`."]
    lines += [line for note in report.notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1
    return f"{value:.{digits}f} {unit}"


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _goal(row: Measurement) -> str:
    if row.gate is None:
        return ""
    verdict = {True: "met", False: "missed", None: "not measured"}[row.met]
    return f"≤ {row.gate:g}: {verdict}"


def _aim(row: Measurement) -> str:
    return "" if row.aim is None else f"≤ {row.aim:g}"
