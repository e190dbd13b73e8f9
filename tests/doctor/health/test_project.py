from __future__ import annotations

from dataclasses import replace

from devtls.doctor.health.authority import ErrorMessage
from devtls.doctor.health.finding import Finding, Level
from devtls.doctor.health.project import ProjectFacts, check_project

FINE = ProjectFacts("/p/devtls.toml", routes=2, apps={"127.0.0.1:3000": "", "unix:/a": ""})


def checked(facts: ProjectFacts) -> dict[str, Finding]:
    return {finding.id: finding for finding in check_project(facts)}


def test_no_file_is_no_fault() -> None:
    assert {name: each.level for name, each in checked(ProjectFacts()).items()} == {"config-none": Level.OK}


def test_a_file_whose_apps_answer_is_fine() -> None:
    assert checked(FINE)["config-fine"].what == "/p/devtls.toml has 2 routes, and every app answers."
    assert checked(replace(FINE, routes=1))["config-fine"].what.startswith("/p/devtls.toml has 1 route,")


def test_a_file_that_is_refused_is_a_trouble_in_its_own_words() -> None:
    finding = checked(replace(FINE, refused=ErrorMessage("devtls.toml:3: no such key.", "Did you mean app?")))[
        "config-refused"
    ]
    assert (finding.level, finding.what, finding.remedy) == (
        Level.TROUBLE,
        "devtls.toml:3: no such key.",
        "Did you mean app?",
    )
    allowed = checked(replace(FINE, refused=ErrorMessage("It asks for more.", ""), forbidden=True))[
        "config-not-allowed"
    ]
    assert allowed.remedy == "Change that line"


def test_an_app_that_is_down_is_a_note_and_its_text_is_escaped() -> None:
    finding = checked(replace(FINE, apps={"unix:/\x1b[2J": "no\x07"}))["app-down"]
    assert finding.level is Level.NOTE
    assert finding.what == "The app at unix:/\\x1b[2J does not answer: no\\x07."


def test_a_directory_that_is_not_there_is_a_warning() -> None:
    found = checked(replace(FINE, missing_directories=("/p/site",)))
    assert found["folder-missing"].level is Level.WARNING
    assert "config-fine" not in found


def test_kept_hsts_is_named_with_the_way_to_forget_it() -> None:
    assert checked(replace(FINE, kept=("app",)))["hsts-kept"].what.startswith("app keeps Strict")
    finding = checked(replace(FINE, kept=("app", "shop")))["hsts-kept"]
    assert finding.what.startswith("app and shop keep Strict")
    assert "net-internals" in finding.remedy
