"""The numbers as a table for people (Markdown, as in the README) and as JSON for programs, and the gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

Samples = Mapping[str, Sequence[float]]

SUBJECT = "devtls"
PEER = "Caddy"


@dataclass(frozen=True)
class Measurement:
    """One row: samples per contender, and what devtls may cost at most, as a share of Caddy's median."""

    title: str
    unit: str
    samples: Samples
    gate: float | None = None

    def value(self, label: str) -> float | None:
        values = self.samples.get(label)
        return median(values) if values else None

    @property
    def ratio(self) -> float | None:
        """Return devtls / Caddy, None when one of them was not measured."""
        ours, theirs = self.value(SUBJECT), self.value(PEER)
        return ours / theirs if ours is not None and theirs else None

    @property
    def met(self) -> bool | None:
        """Return whether the gate holds, None when there is none or nothing to compare."""
        return None if self.gate is None or self.ratio is None else self.ratio <= self.gate


@dataclass(frozen=True)
class Report:
    """One run of the harness."""

    date: str
    machine: str
    versions: Mapping[str, str]
    command: str
    rows: list[Measurement] = field(default_factory=list)

    @property
    def failed(self) -> list[Measurement]:
        return [row for row in self.rows if row.met is False]

    def as_json(self) -> dict[str, object]:
        rows = [
            {
                **asdict(row),
                "median": {label: row.value(label) for label in self.versions},
                "ratio": row.ratio,
                "met": row.met,
            }
            for row in self.rows
        ]
        return {"date": self.date, "machine": self.machine, "versions": dict(self.versions), "rows": rows}


def markdown(report: Report) -> str:
    """Return the table and the line under it."""
    labels = list(report.versions)
    heads = ["", *(f"{label} {version}" for label, version in report.versions.items()), "devtls : Caddy", "goal"]
    lines = [_row(heads), _row(["---", *["---:"] * (len(heads) - 1)])]
    for row in report.rows:
        cells = [_cell(row.value(label), row.unit) for label in labels]
        lines.append(_row([row.title, *cells, _ratio(row.ratio), _goal(row)]))
    lines += ["", f"Medians, {report.date}, {report.machine}; made by `{report.command}`."]
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
