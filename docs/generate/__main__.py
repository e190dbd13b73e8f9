"""Fill the generated regions of the pages; `make docs` runs this before it builds.

A page is written by hand, but for regions between `<!-- generated: NAME -->` and `<!-- /generated -->`. What stands
between them comes from the code. The pages are committed whole, so that they can be read without being built.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from docs.generate import code, commands, configuration, frameworks
from docs.generate.man import man_page

DOCS = Path(__file__).parents[1]
MAN = DOCS / "man" / "devtls.1"
"""Installed with the package."""

Region = Callable[[], str]
PAGES: dict[str, dict[str, Region]] = {
    "reference/configuration.md": configuration.REGIONS,
    "reference/commands.md": {"commands": commands.reference},
    "reference/exit-codes.md": {"exit-codes": code.exit_codes, "errors": code.error_tree},
    "reference/control-api.md": {"messages": code.messages},
    "how-to/frameworks.md": {
        "frameworks": frameworks.frameworks,
        "framework-problems": frameworks.problems,
        "frameworks-tried": frameworks.tried,
    },
    "contributing/module-map.md": {"modules": code.module_map},
}
_REGION = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- /generated -->)", re.DOTALL)


def filled(text: str, regions: dict[str, Region]) -> str:
    """Return a page with its regions written anew. Raises ValueError when it has others than those."""
    names = [match[2] for match in _REGION.finditer(text)]
    if sorted(names) != sorted(regions):
        raise ValueError(f"the page has the regions {names}, and {list(regions)} are written")
    return _REGION.sub(lambda match: f"{match[1]}\n{regions[match[2]]().strip()}\n\n{match[4]}", text)


def write_pages() -> list[str]:
    """Write every page whose regions changed; returns their names."""
    changed = []
    for name, regions in PAGES.items():
        page = DOCS / name
        before = page.read_text()
        after = filled(before, regions)
        if after != before:
            page.write_text(after)
            changed.append(name)
    if not MAN.exists() or MAN.read_text() != man_page():
        MAN.parent.mkdir(exist_ok=True)
        MAN.write_text(man_page())
        changed.append(MAN.relative_to(DOCS).as_posix())
    return changed


if __name__ == "__main__":
    for name in write_pages():
        print(f"docs/{name} was written anew")
