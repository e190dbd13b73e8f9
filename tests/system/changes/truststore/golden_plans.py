"""Plans compared with a golden file: one section for each system, with what differs from run to run written out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devtls.system.machine.plan import Elevation, Plan, render_plan

GOLDEN = Path(__file__).parent / "golden" / "other_systems.txt"
SUDO = Elevation("sudo", ("/usr/bin/sudo",))


def check_section(title: str, plans: tuple[Plan, ...], names: Mapping[str, str]) -> None:
    """Assert that a section of the golden file is what these plans print; `names` maps words of this run to its own."""
    lines = [f"[{title}]"]
    for plan in plans:
        assert plan, f"{title}: nothing is planned"
        lines += render_plan(plan, SUDO)
    text = "\n".join(lines) + "\n"
    for word, name in names.items():
        text = text.replace(word, name)
    assert text in GOLDEN.read_text(), text
