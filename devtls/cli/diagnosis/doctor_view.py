"""How `devtls doctor` shows what was found: rows per section, what to do, one verdict; or JSON.

Owns the layout. Findings without a fault are one line per section, unless all of them are wanted. Commands are never
wrapped: a command that is broken in two cannot be copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import paint, wrapped
from devtls.cli.terminal.rows import Symbol, marked_row
from devtls.daemon.console.style import CYAN
from devtls.doctor.health.finding import Finding, Level, Section, remedies
from devtls.doctor.health.fixes import is_fixed
from devtls.system.changes.change import Part
from devtls.system.changes.engine import Proposal, Result

_SYMBOLS = {Level.OK: Symbol.OK, Level.NOTE: Symbol.NOTE, Level.WARNING: Symbol.WARNING, Level.TROUBLE: Symbol.ERROR}
Fixed: TypeAlias = tuple[Proposal, Result]
"""A proposed fix, and its result."""

_ORDER = (Level.TROUBLE, Level.WARNING, Level.NOTE, Level.OK)
_LABEL_WIDTH = 9
_MANY_FINE = {
    "store-trusts": "{} stores trust the root.",
    "client-trusts": "{} programs accept the CA, and refuse names outside its zones.",
    "client-trusts-unlimited": "{} programs accept the CA.",
}


def in_words(findings: Sequence[Finding], *, verbose: bool) -> str:
    """Return everything as text."""
    lines: list[str] = []
    for section in Section:
        lines += _section(section, [each for each in findings if each.section is section], verbose=verbose)
    lines += ["", *_verdict(findings)]
    lines += _list("What to do:", remedies(findings))
    notes = [each.remedy for each in findings if each.level is Level.NOTE and each.remedy]
    lines += _list("If you like:", [each for each in dict.fromkeys(notes) if each not in remedies(findings)])
    return "\n".join(lines)


def _section(section: Section, findings: Sequence[Finding], *, verbose: bool) -> Iterator[str]:
    label = section.value
    for level in _ORDER:
        for finding in _shown([each for each in findings if each.level is level], section, verbose=verbose):
            text = f"{finding.what} {finding.why}" if finding.why and (finding.wrong or verbose) else finding.what
            yield from marked_row(_SYMBOLS[level], label, text, _LABEL_WIDTH)
            label = ""


def _shown(findings: list[Finding], section: Section, *, verbose: bool) -> list[Finding]:
    """Return the findings of one level: all of them, or a summary of those that need no action."""
    if verbose or len(findings) < 2 or findings[0].wrong:
        return findings
    if findings[0].level is Level.NOTE:
        return _gathered(findings)
    kind = findings[0].id
    if kind not in _MANY_FINE:
        return findings[:1]
    return [Finding("", section, Level.OK, _MANY_FINE[kind].format(len(findings)))]


def _gathered(notes: list[Finding]) -> list[Finding]:
    """Return notes with those of one kind told by the first of them: a machine may have a dozen JDKs."""
    kinds = dict.fromkeys(note.id for note in notes)
    shown = []
    for kind in kinds:
        first, *others = [note for note in notes if note.id == kind]
        more = f" ({len(others)} more like this: --verbose shows them.)" if len(others) > 1 else ""
        shown += [replace(first, what=first.what + more)] if more else [first, *others]
    return shown


def _verdict(findings: Iterable[Finding]) -> list[str]:
    wrong = [each for each in findings if each.wrong]
    if not wrong:
        return [paint(line, *Symbol.OK.codes) for line in wrapped("Nothing is wrong.")]
    troubles = sum(each.level is Level.TROUBLE for each in wrong)
    what = "One thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
    text = f"{what} to be fixed."
    if any(each.fix is not None for each in wrong):
        text += " devtls doctor --fix applies what is safe, and asks before."
    return [paint(line, *(Symbol.ERROR if troubles else Symbol.WARNING).codes) for line in wrapped(text)]


def _list(title: str, commands: Sequence[str]) -> list[str]:
    if not commands:
        return []
    width = len(str(len(commands)))
    rows = [f"  {number:>{width}}. {paint(printable(each), CYAN)}" for number, each in enumerate(commands, 1)]
    return ["", title, *rows]


def sentence(proposal: Proposal) -> str:
    """Return the fix in words, without a full stop."""
    change = proposal.change
    if change.part is not Part.TRUST:
        return change.purpose.rstrip(".")
    what = "takes the root of an earlier CA out" if proposal.reverts else "puts the root in"
    return f"{change.label}: {what}"


def result_lines(fixed: Iterable[Fixed]) -> list[str]:
    """Return the result of each fix."""
    return [
        line
        for proposal, result in fixed
        for done in [is_fixed(proposal, result)]
        for line in marked_row(
            Symbol.OK if done else Symbol.ERROR,
            "done" if done else "not done",
            f"{sentence(proposal)}{'' if done else f': {_why(result)}'}.",
            _LABEL_WIDTH,
        )
    ]


def _why(result: Result) -> str:
    return result.state.detail or result.state.status.value


def as_values(findings: Sequence[Finding], fixed: Sequence[Fixed] = ()) -> dict[str, object]:
    """Return everything as JSON values."""
    return {
        "wrong": any(each.wrong for each in findings),
        "counts": {level.value: sum(each.level is level for each in findings) for level in Level},
        "findings": [
            {
                "id": each.id,
                "section": each.section.value.lower(),
                "level": each.level.value,
                "subject": each.subject,
                "what": each.what,
                "why": each.why,
                "mend": each.remedy,
                "mend_is_command": each.is_command,
                "fixable": each.fix is not None,
            }
            for each in findings
        ],
        "what_to_do": list(remedies(findings)),
        "fixed": [_fixed_values(proposal, result) for proposal, result in fixed],
    }


def _fixed_values(proposal: Proposal, result: Result) -> dict[str, object]:
    done = is_fixed(proposal, result)
    return {"what": sentence(proposal), "done": done, "detail": "" if done else _why(result)}
