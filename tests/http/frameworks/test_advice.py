"""Which setting is named, in which file, and when there is nothing to say."""

from __future__ import annotations

import pytest

from devtls.http.frameworks.advice import (
    FrameworkAdvice,
    FrameworkFinding,
    Names,
    Project,
    Remedy,
    file_name,
    hint,
)

JAVASCRIPT = Project(frozenset({"package.json"}), frozenset({"vite"}))
TYPESCRIPT = Project(frozenset({"tsconfig.json"}), frozenset({"vite"}))
WITH_PACKAGE = Project(packages=frozenset({"typescript"}))
HAS_MTS = Project(frozenset({"vite.config.mts", "tsconfig.json"}))
PARTICULAR = FrameworkAdvice("The app", "fails", (Remedy("server.js", "x", "Express"),), particular=True)


@pytest.mark.parametrize(
    ("file", "project", "expected"),
    [
        ("vite.config.js", None, "vite.config.js (or .ts)"),
        ("nuxt.config.ts", None, "nuxt.config.ts (or .js)"),
        ("vite.config.js", JAVASCRIPT, "vite.config.js"),
        ("vite.config.js", TYPESCRIPT, "vite.config.ts"),
        ("vite.config.js", WITH_PACKAGE, "vite.config.ts"),
        ("vite.config.js", HAS_MTS, "vite.config.mts"),
        ("settings.py", TYPESCRIPT, "settings.py"),
        ("the app's code", None, "the app's code"),
    ],
)
def test_a_file_is_named_as_the_project_has_it(file: str, project: Project | None, expected: str) -> None:
    assert file_name(file, project) == expected


def test_an_advice_for_few_frameworks_is_given_only_for_them() -> None:
    names = Names("app.dev.local", 443)
    assert hint(FrameworkFinding(PARTICULAR), names, None) is None
    assert hint(FrameworkFinding(PARTICULAR, "Rails"), names, None) is None
    made = hint(FrameworkFinding(PARTICULAR, "Rails"), names, Project(packages=frozenset({"express"})))
    assert made is not None
    assert (made.framework, made.settings) == ("Express", (("server.js", "x"),))


def test_a_remedy_for_everybody_is_given_to_the_others() -> None:
    advice = FrameworkAdvice("The app", "fails at {origin}", PARTICULAR.settings, particular=True, unknown="Let it be")
    made = hint(FrameworkFinding(advice), Names("app.dev.local", 443), None)
    assert made is not None
    assert (made.text, made.settings) == ("The app fails at https://app.dev.local. Let it be", ())


def test_the_port_is_part_of_an_origin_unless_it_is_the_usual_one() -> None:
    advice = FrameworkAdvice("The app", "fails at {origin}", (Remedy("a.py", "{port} {seen}"),))
    made = hint(FrameworkFinding(advice, facts=(("seen", "here"),)), Names("app.test", 8443), None)
    assert made is not None
    assert made.text == "The app fails at https://app.test:8443. Add to a.py: 8443 here"
