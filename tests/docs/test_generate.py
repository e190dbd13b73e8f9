"""The generated regions: complete, and the same as what stands in the pages."""

from __future__ import annotations

import re
import subprocess
import tomllib

import click
import pytest

from devtls.cli.group import cli
from devtls.config.descriptions import ROUTE, SECTIONS, SETTINGS
from devtls.config.model import LIMIT_RANGES, RouteConfig, StaticTarget
from devtls.config.route import _OPTIONS
from devtls.config.toml import _SECTIONS
from devtls.errors import ExitCode
from devtls.http.frameworks.host_check import REFUSES_NAME, SIGNS
from docs.generate import code, commands, configuration
from docs.generate.__main__ import MAN, PAGES, filled
from docs.generate.man import man_page
from tests.conftest import RequireTool
from tests.docs.pages import ROOT, page, section, table

REFRESH = "a generated page is out of date: run `make docs`, and commit what it wrote"
NOT_WRITTEN_IN_A_FILE = {"line"}
"""Fields of the model that no key sets."""


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_up_to_date(name: str) -> None:
    assert page(name) == filled(page(name), PAGES[name]), REFRESH


def test_regions_that_nobody_writes_are_refused() -> None:
    with pytest.raises(ValueError, match="other"):
        filled("<!-- generated: other -->\n<!-- /generated -->", {})
    with pytest.raises(ValueError, match="missing"):
        filled("", {"missing": str})


def test_every_section_and_key_is_described() -> None:
    assert list(SECTIONS) == list(_SECTIONS)
    assert [*SETTINGS, "routes"] == list(SECTIONS)
    for name, kind in configuration.SECTIONS.items():
        fields = [field for field in kind.__struct_fields__ if field not in NOT_WRITTEN_IN_A_FILE]
        assert list(SETTINGS[name]) == fields, name
    assert set(ROUTE) == set(_OPTIONS)
    assert set(ROUTE) - {"static"} <= {*RouteConfig.__struct_fields__, *StaticTarget.__struct_fields__}


def test_every_limit_stands_there_with_default_unit_and_range() -> None:
    rows = table(section(page("reference/configuration.md"), "`[limits]`"))[1:]
    assert [row[0].strip("`") for row in rows] == list(LIMIT_RANGES)
    assert ["response_head_timeout_s", "600", "s", "0.1–86400"] in [[row[0].strip("`"), *row[1:4]] for row in rows]
    assert ["max_head_bytes", "65536", "bytes", "8192–1048576"] in [[row[0].strip("`"), *row[1:4]] for row in rows]
    assert all(row[2] for row in rows)


def test_every_limit_has_an_effect() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "devtls" / "daemon").rglob("*.py"))
    assert not [name for name in LIMIT_RANGES if f"limits.{name}" not in sources]


def test_a_default_is_that_of_the_model_or_described() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table(configuration.section("serve"))[1:]}
    assert rows["https_port"][:2] == ["a port", "443, or 8443"]
    assert rows["redirect"][:2] == ["true or false", "`true`"]
    assert rows["log_format"][:2] == ['`"text"` or `"json"`', '`"text"`']
    options = {row[0].strip("`"): row[1:] for row in table(configuration.route_options())[1:]}
    assert options["target"][1] == ""
    assert options["hsts"][1] == '`"strip"`'


def visible(group: click.Group, path: str) -> dict[str, click.Command]:
    """Return full name -> command, by a walk of the test's own."""
    found: dict[str, click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if not command.hidden:
            found[f"{path} {name}"] = command
            found |= visible(command, f"{path} {name}") if isinstance(command, click.Group) else {}
    return found


@pytest.mark.parametrize(("name", "command"), visible(cli, "devtls").items())
def test_every_command_and_option_stands_there(name: str, command: click.Command) -> None:
    text = section(page("reference/commands.md"), f"{name}\n")
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    assert all(option in text for each in options for option in each.opts)
    assert all(each.help for each in options), f"an option of {name} has no help text"


def test_help_is_text_and_not_markup() -> None:
    assert commands._prose("Take *.app, [x] and <y>_z.") == r"Take \*.app, \[x\] and \<y\>\_z."
    kept = commands._prose("Print it.\n\n\b\nbash   eval\nzsh    eval [x]\n\nThen this.")
    assert kept == "Print it.\n\n```text\nbash   eval\nzsh    eval [x]\n```\n\nThen this."


def test_every_exit_code_and_error_stands_there() -> None:
    rows = table(code.exit_codes())[1:]
    assert [int(row[0]) for row in rows] == [each.value for each in ExitCode]
    assert all(row[1] for row in rows)
    tree = code.error_tree()
    assert "* `DevtlsError` (1): " in tree
    assert "\n    * `NotAllowed` (3): " in tree


def test_the_lines_for_frameworks_are_those_of_the_log() -> None:
    text = section(page("how-to/frameworks.md"), "Let a framework accept the name")
    rows = {row[0]: row for row in table(text)[1:]}
    for advice in (sign.advice for sign in SIGNS if sign.advice.problem == REFUSES_NAME):
        for setting in advice.settings:
            written = rows[setting.framework or advice.framework]
            assert written[1].replace("`", "") == setting.file
            assert written[2].startswith("`" + setting.line.partition("{")[0])
            works = (advice.localhost_works, advice.upstream_works)
            assert written[3:] == ["yes" if each else "no" for each in works]


def test_every_package_says_what_it_owns() -> None:
    rows = table(code.module_map())[1:]
    assert all(row[2].endswith(".") for row in rows), [row for row in rows if not row[2].endswith(".")]


def test_the_man_page_is_up_to_date() -> None:
    assert MAN.read_text() == man_page(), REFRESH


def test_the_man_page_is_in_the_wheel() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["shared-data"] == {MAN.relative_to(ROOT).as_posix(): "share/man/man1/devtls.1"}


def test_the_man_page_renders_without_a_warning(require_tool: RequireTool) -> None:
    man = require_tool("man", "apt-get install man-db")
    done = subprocess.run([man, "-l", "--warnings", str(MAN)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for shown in ("devtls setup", "devtls ca renew", "EXIT STATUS", "DEVTLS_STATE_DIR"):
        assert shown in done.stdout


def test_the_man_page_explains_every_exit_code() -> None:
    section_ = man_page().partition(".SH EXIT STATUS")[2]
    assert [int(code) for code in re.findall(r"\\fB(\d+)\\fR\n\w", section_)] == [code.value for code in ExitCode]
