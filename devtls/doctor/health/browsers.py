"""What a browser needs besides a root in a store: the right folder, a sandbox that sees it, and a restart.

Owns Chromium's rule of two folders (platform guide A.2): where ~/.pki/nssdb exists, it is the only one that is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from devtls.doctor.health.finding import Finding, Level, Section, listed
from devtls.system.changes.truststore.nss_profiles import Notice


@dataclass(frozen=True, slots=True)
class BrowserFacts:
    """`legacy` and `modern` are Chromium's folders as far as they exist, as a person writes them.

    `trusting` names the stores that trust the root; `old_processes` are browsers that have run since before the last
    change of trust: name -> process id.
    """

    legacy: str = ""
    modern: str = ""
    trusting: frozenset[str] = frozenset()
    notices: tuple[Notice, ...] = ()
    old_processes: dict[str, int] = field(default_factory=dict)


def judge_browsers(facts: BrowserFacts) -> Iterator[Finding]:
    """Yield what stands between a browser and the store."""
    if facts.legacy and facts.modern:
        yield _on_two_directories(facts)
    for notice in facts.notices:
        yield Finding(
            "browser-sandboxed",
            Section.BROWSERS,
            Level.NOTE,
            notice.text,
            "Sandboxed browsers see only what their permissions let through.",
            notice.remedy,
        )
    if facts.old_processes:
        running = listed(f"{name} (process {number})" for name, number in facts.old_processes.items())
        verb = "has" if len(facts.old_processes) == 1 else "have"
        yield Finding(
            "browser-runs-since-before",
            Section.BROWSERS,
            Level.NOTE,
            f"{running} {verb} run since before the last devtls trust or untrust.",
            "Browsers read their list of roots when they start, or remember what they found in it.",
            "Restart the browser",
        )
    if not (facts.notices or facts.old_processes or (facts.legacy and facts.modern)):
        yield Finding("browsers-fine", Section.BROWSERS, Level.OK, "Nothing stands between browsers and their stores.")


def _on_two_directories(facts: BrowserFacts) -> Finding:
    hides = f"Chromium reads {facts.legacy} alone: that folder hides {facts.modern}"
    if f"nss:{facts.modern}" in facts.trusting and f"nss:{facts.legacy}" not in facts.trusting:
        return Finding(
            "browser-folder-hidden",
            Section.BROWSERS,
            Level.WARNING,
            f"{hides}, where the root is.",
            "Chromium, Chrome, Edge and Brave show a warning page although the root is in a store of theirs.",
            "devtls trust",
        )
    return Finding("browser-two-folders", Section.BROWSERS, Level.OK, f"{hides}.")
