"""Options that mean the same in every command that changes the machine."""

from __future__ import annotations

import click

from devtls.system.changes.truststore.other_tools import TOOLS

YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
STORE = click.option(
    "--store", "stores", multiple=True, metavar="NAME", help="Only this store: system, nss, java, or a full name."
)
ZONE = click.option("--zone", "zones", multiple=True, metavar="ZONE", help="A zone of the new CA (repeatable).")
ALSO = click.option(
    "--also", multiple=True, type=click.Choice(TOOLS), help="Also remove the roots that this tool left (repeatable)."
)
EVERY_ROOT = click.option(
    "--all", "every_root", is_flag=True, help="Also remove roots of other devtls CAs, such as older ones."
)
