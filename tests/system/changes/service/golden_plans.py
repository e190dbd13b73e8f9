"""Plans compared with a golden file: one section for each system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devtls.system.machine.plan import Elevation, Plan, render_plan

GOLDEN = Path(__file__).parent / "golden" / "other_systems.txt"
SUDO = Elevation("sudo", ("/usr/bin/sudo",))


def check_section(title: str, plans: Mapping[str, Plan], names: Mapping[str, str]) -> None:
    """Assert that a section of the golden file is what these plans print; `names` maps words of this run to its own."""
    lines: list[str] = []
    for heading, plan in plans.items():
        assert plan, f"{title}, {heading}: nothing is planned"
        assert not plan.elevated
        lines += [f"[{title}, {heading}]", *render_plan(plan, SUDO)]
    text = "\n".join(lines) + "\n"
    for word, name in names.items():
        text = text.replace(word, name)
    assert text in GOLDEN.read_text(), text
