"""The configuration that counts in this folder: whether it can be read, fits the CA, and its apps answer.

Owns what a person is told about routes. An app that is down is a note: that is everyday life, and no fault of devtls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from devtls.config.lines import visible
from devtls.doctor.health.authority import Said
from devtls.doctor.health.finding import Finding, Level, Section, as_command, listed


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """`file` is "" where there is none; `apps`: target -> "" or why not; `kept`: names that keep HSTS."""

    file: str = ""
    refused: Said | None = None
    forbidden: bool = False
    routes: int = 0
    apps: Mapping[str, str] = field(default_factory=dict)
    missing_directories: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    https_port: int | None = None


def judge_project(facts: ProjectFacts) -> Iterator[Finding]:
    """Yield what there is to say about the configuration."""
    if not facts.file:
        yield Finding(
            "config-none",
            Section.PROJECT,
            Level.OK,
            "There is no devtls.toml here or above, so no routes were looked at.",
        )
        return
    if facts.refused is not None:
        yield _on_refusal(facts.refused, forbidden=facts.forbidden)
        return
    down = {target: why for target, why in facts.apps.items() if why}
    if not down and not facts.missing_directories:
        what = f"{facts.file} has {facts.routes} {'route' if facts.routes == 1 else 'routes'}, and every app answers."
        yield Finding("config-fine", Section.PROJECT, Level.OK, what)
    for target, why in down.items():
        yield Finding(
            "app-down",
            Section.PROJECT,
            Level.NOTE,
            f"The app at {visible(target)} does not answer: {visible(why)}.",
            "Its addresses show a page that says so, and load it when it is up.",
            "Start the app",
            target,
        )
    for directory in facts.missing_directories:
        yield Finding(
            "folder-missing",
            Section.PROJECT,
            Level.WARNING,
            f"There is no folder {visible(directory)}, which a route serves.",
            "Its addresses answer 404.",
            f"Make the folder, or change the route in {facts.file}",
            directory,
        )
    if facts.kept:
        yield _on_hsts(facts.kept)


def _on_refusal(said: Said, *, forbidden: bool) -> Finding:
    name = "config-not-allowed" if forbidden else "config-refused"
    why = "devtls serve does not start with it; one that runs goes on with the last good version."
    return Finding(
        name, Section.PROJECT, Level.TROUBLE, said.sentence, why, as_command(said.hint) or "Change that line"
    )


def _on_hsts(kept: tuple[str, ...]) -> Finding:
    return Finding(
        "hsts-kept",
        Section.PROJECT,
        Level.NOTE,
        f'{listed(kept)} {"keeps" if len(kept) == 1 else "keep"} Strict-Transport-Security (hsts = "keep").',
        "A browser that saw it refuses every other project under that name, on every port, until it expires.",
        'Take hsts = "keep" out; in Chromium, chrome://net-internals/#hsts makes it forget a name',
    )
