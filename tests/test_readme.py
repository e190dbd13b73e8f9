"""The README says what the code does: keys, defaults, ranges, flags, exit codes, commands, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from devtls.acme.orders import ORDERS_PER_HOUR
from devtls.cli.group import cli
from devtls.config import parse_config
from devtls.config.model import (
    LIMIT_RANGES,
    AcmeConfig,
    CaConfig,
    DnsConfig,
    LimitsConfig,
    PacConfig,
    RouteConfig,
    ServeConfig,
    StaticTarget,
    TcpTarget,
)
from devtls.config.target import parse_target
from devtls.errors import ExitCode, InvalidName
from devtls.http.answers import host_check as hostcheck
from devtls.http.forward import LOOP_LIMIT
from devtls.names import DEFAULT_ZONES, parse_zone
from devtls.net.tls import contexts
from devtls.pki.leaf import PROFILE
from devtls.routing import ClientAuth, build_routes
from devtls.system.machine.paths import Paths

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
UNITS = {"_s": "s", "_bytes": "bytes"}


def section(heading: str) -> str:
    """Return the text below a heading, up to the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}.*?\n(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no heading {heading!r}"
    return found[1]


def table(text: str) -> list[list[str]]:
    """Return the cells of every row below a table's title line; code marks are taken away."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def keys(text: str) -> list[str]:
    return [row[0].strip("`") for row in table(text)[1:]]


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def code_spans() -> list[str]:
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def test_every_limit_stands_there_with_default_unit_and_range() -> None:
    written = [tuple(cell.strip("`") for cell in row[:4]) for row in table(section("`[limits]`"))[1:]]
    defaults = LimitsConfig()
    expected = [
        (name, f"{getattr(defaults, name):g}".replace("e+0", "e"), f"{low:g}–{high:.10g}")
        for name, (low, high) in LIMIT_RANGES.items()
    ]
    assert [(name, _number(default), scope) for name, default, _, scope in written] == expected
    for name, _, unit, _ in written:
        suffix = "_" + name.rpartition("_")[2]
        assert unit == UNITS.get(suffix, unit) and (suffix in UNITS or unit not in UNITS.values()), name


def _number(text: str) -> str:
    return f"{float(text):g}".replace("e+0", "e")


def test_every_limit_has_an_effect() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "devtls" / "daemon").glob("*.py"))
    read = set(re.findall(r"limits\.(\w+)", sources))
    assert not set(LIMIT_RANGES) - read


def test_every_key_of_serve_stands_there() -> None:
    assert keys(section("`[serve]`")) == list(ServeConfig.__match_args__)
    defaults = ServeConfig()
    for name, default, _ in (tuple(row) for row in table(section("`[serve]`"))[1:]):
        value = getattr(defaults, name.strip("`"))
        if isinstance(value, bool):
            assert default == f"`{str(value).lower()}`", name
        elif isinstance(value, str):
            assert default == f'`"{value}"`', name


def test_every_key_of_dns_stands_there() -> None:
    defaults = DnsConfig()
    written = [(row[0].strip("`"), row[1].strip("`")) for row in table(section("`[dns]`"))[1:]]
    assert written == [("enabled", str(defaults.enabled).lower()), ("port", str(defaults.port))]
    assert [name for name, _ in written] == list(DnsConfig.__match_args__)
    assert f"[port {defaults.port}](#dns)" in README
    assert f"dig -p {defaults.port} @" in README


def test_every_key_of_pac_stands_there() -> None:
    defaults = PacConfig()
    written = [(row[0].strip("`"), row[1].strip("`")) for row in table(section("`[pac]`"))[1:]]
    assert written == [("enabled", str(defaults.enabled).lower()), ("port", str(defaults.port))]
    assert [name for name, _ in written] == list(PacConfig.__match_args__)
    assert f"http://127.0.0.1:{defaults.port}/proxy.pac" in README


def test_every_key_of_ca_stands_there() -> None:
    written = [(row[0].strip("`"), row[1].strip("`")) for row in table(section(r"`[ca]`"))[1:]]
    assert written == [(name, str(getattr(CaConfig(), name)).lower()) for name in CaConfig.__match_args__]


def test_every_key_of_acme_stands_there() -> None:
    text = section("`[acme]`")
    written = [row[0].strip("`") for row in table(text)[1:]]
    assert written == [name for name in AcmeConfig.__match_args__ if name != "line"]
    assert "| `enabled` | `false` |" in text and not AcmeConfig().enabled
    assert f"more than\n{ORDERS_PER_HOUR} orders an hour" in section("Certificates by ACME")


def test_every_option_of_a_route_stands_there() -> None:
    known = set(RouteConfig.__match_args__) - {"name", "path_prefix", "key", "line", "source"} | {"static"}
    options = section("`[routes]`").partition("| Option ")[2]
    rows = [line.split("|") for line in options.splitlines() if line.startswith("| `")]
    assert {row[1].strip().strip("`") for row in rows} == known
    plain = RouteConfig("app", "/", TcpTarget("http", "", 3000))
    for row in rows:
        default = getattr(plain, row[1].strip(" `"), None)
        if isinstance(default, bool):
            assert row[2].strip() == f"`{str(default).lower()}`", row[1]
        elif isinstance(default, str):
            assert row[2].strip() == f'`"{default}"`', row[1]


def test_the_configuration_can_be_used() -> None:
    tables, acme = [], []
    for block in code_blocks("toml"):
        config = parse_config(block.encode(), source="README.md", directory="/project")
        acme.append(config.acme.enabled)
        directories = {route.target.directory: "x" for route in config.routes if isinstance(route.target, StaticTarget)}
        tables.append(build_routes(config, DEFAULT_ZONES, static_sockets=directories))
    routes, asking = (table for table, enabled in zip(tables, acme, strict=True) if not enabled)
    assert acme.count(True) == 2
    assert routes.match("app.dev.local", b"/api/x") is not routes.match("app.dev.local", b"/")
    assert routes.match("any.depth.app.test", b"/") is not None
    admin = routes.match("admin.app.test", b"/")
    assert admin is not None
    assert admin.upstream.port == 4000
    assert asking.client_auth("admin.dev.local") == ClientAuth(True, None)
    assert asking.client_auth("any.depth.team.test") == ClientAuth(False, "/project/team.pem")


@pytest.mark.parametrize("row", [line for line in section("`[routes]`").splitlines() if line.startswith("| `")])
def test_every_spelling_of_a_target_is_one(row: str) -> None:
    for text in re.findall(r'`(?:"([^"…]+)"|(\d+))`', row.split("|")[1]):
        parse_target("".join(text), "/project")


def test_every_flag_of_every_command_stands_there() -> None:
    for name, command in commands(cli):
        written = flags(section(f"`{name}"))
        own = {option for each in command.params for option in each.opts if option.startswith("--")}
        assert own - written == set(), f"missing in the README: {name}"
        assert written - own == set(), f"unknown to {name}"


def flags(text: str) -> set[str]:
    """Return the long flags of a command's section: from its table's first column, or from prose without a table."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {flag for part in rows or [text] for flag in re.findall(r"`(--[a-z0-9-]+)", part)}


def commands(group: click.Command, path: str = "devtls") -> Iterator[tuple[str, click.Command]]:
    """Yield each command below a group under its full name, and groups that do something themselves."""
    assert isinstance(group, click.Group)
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def command_lines() -> list[str]:
    typed = [line for block in code_blocks("sh") for line in block.splitlines()]
    typed += [line[2:] for block in code_blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    shown = [line for line in [*typed, *code_spans()] if line.startswith("devtls ")]
    return sorted({line.partition("#")[0].strip() for line in shown if "[" not in line})


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, line
        command, words = found, words[1:]
    command.make_context(line, words)


def test_every_exit_code_stands_there() -> None:
    rows = table(section("Exit codes and environment"))[1:]
    assert [int(row[0]) for row in rows] == [code.value for code in ExitCode]


def test_the_named_variables_move_the_directories() -> None:
    names = re.findall(r"`(DEVTLS_\w+)`", section("Exit codes and environment"))
    moved = Paths.from_environment({name: f"/x/{name}" for name in names})
    assert (moved.state_dir, moved.config_dir, moved.runtime_dir) == tuple(Path(f"/x/{name}") for name in names)


def test_the_lines_for_frameworks_are_those_of_the_log() -> None:
    rows = [[cell.strip("`") for cell in row] for row in table(section("When a framework refuses the name"))[1:]]
    checks = [sign.check for sign in hostcheck.SIGNS]
    expected = {
        check.framework: [
            check.file,
            check.line.replace("{host}", "app.dev.local"),
            "yes" if check.localhost_works else "no",
            "yes" if check.upstream_works else "no",
        ]
        for check in checks
    }
    written = {row[0]: [row[1].replace("`", ""), *row[2:]] for row in rows}
    assert written == expected


def test_the_named_zones_are_judged_as_written() -> None:
    text = section("Trust, and what it means for your safety")
    allowed, _, refused = re.search(r"Allowed are (.*?)\)\. A zone", text, re.DOTALL)[1].partition("so neither")  # type: ignore[index] # no match fails the test as well
    public = {"com", "co.uk"}.__contains__
    for zone in re.findall(r"`([\w.]+)`", allowed):
        parse_zone(zone, is_public_suffix=public)
    for zone in re.findall(r"`([\w.]+)`", refused):
        with pytest.raises(InvalidName):
            parse_zone(zone, is_public_suffix=public)


def test_the_named_numbers_are_those_of_the_code() -> None:
    assert f"comes round {LOOP_LIMIT} times" in README
    assert f"a leaf {PROFILE.leaf_lifetime.days} days" in README
    burst, refill, kept = contexts._BURST, contexts._REFILL_PER_S, contexts._LRU_SIZE
    assert f"{burst} new names at once, then {refill:g} a second; {kept:,} kept" in README


def test_every_link_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        else:
            assert (ROOT / target).exists(), target


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {span.split()[1] for span in code_spans() if span.startswith("make ")} <= targets


def test_there_is_one_place_for_the_figures_of_the_bench() -> None:
    assert README.count("<!-- bench -->") == README.count("<!-- /bench -->") == 1


def test_nothing_of_a_machine_is_left() -> None:
    assert not re.findall(r"/(?:root|tmp|srv|home/\w+)/", README)
