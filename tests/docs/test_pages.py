"""The pages say what the code does: keys, commands, exit codes, numbers; every link and every example works."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from devtls.acme.orders import ORDERS_PER_HOUR
from devtls.cli.group import cli
from devtls.config import parse_config
from devtls.config.model import DnsConfig, PacConfig, StaticTarget
from devtls.config.target import parse_target
from devtls.errors import InvalidName
from devtls.http.forward import LOOP_LIMIT
from devtls.names import DEFAULT_ZONES, parse_zone
from devtls.net.tls import contexts
from devtls.pki.leaf import PROFILE
from devtls.routing import ClientAuth, build_routes
from devtls.system.machine.paths import Paths
from tests.docs.pages import (
    PAGES,
    README,
    ROOT,
    WHOLE,
    anchors,
    code_blocks,
    code_spans,
    marked,
    page,
    section,
    table,
)

MOST_LINES_OF_README = 250
GENERATED = "docs/reference/commands.md"
"""What stands there are help texts: not lines that a reader types."""


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES_OF_README


@pytest.mark.parametrize("block", [pytest.param(block, id=block[:40]) for block in code_blocks("toml")])
def test_every_configuration_can_be_used(block: str) -> None:
    config = parse_config(block.encode(), source="docs", directory="/project")
    folders = {route.target: "x" for route in config.routes if isinstance(route.target, StaticTarget)}
    build_routes(config, DEFAULT_ZONES, static_sockets=folders)


def test_the_configuration_means_what_its_comments_say() -> None:
    block = code_blocks("toml", page("reference/configuration.md"))[0]
    config = parse_config(block.encode(), source="docs", directory="/project")
    routes = build_routes(config, DEFAULT_ZONES, static_sockets={StaticTarget("/project/site"): "x"})
    assert routes.match("app.dev.local", b"/api/x") is not routes.match("app.dev.local", b"/")
    assert routes.match("any.depth.app.test", b"/") is not None
    admin = routes.match("admin.app.test", b"/")
    assert admin is not None
    assert admin.upstream.port == 4000


def test_the_routes_with_client_certificates_mean_what_their_comments_say() -> None:
    block = code_blocks("toml", page("how-to/client-certificates.md"))[0]
    config = parse_config(block.encode(), source="docs", directory="/project")
    asking = build_routes(config, DEFAULT_ZONES, static_sockets={})
    assert asking.client_auth("admin.dev.local") == ClientAuth(True, None)
    assert asking.client_auth("any.depth.team.test") == ClientAuth(False, "/project/team.pem")


def test_the_acme_server_is_switched_on_where_it_is_shown() -> None:
    for name in ("how-to/acme.md", "reference/configuration.md"):
        blocks = [block for block in code_blocks("toml", page(name)) if "[acme]" in block]
        assert [parse_config(block.encode(), source="docs", directory="/").acme.enabled for block in blocks] == [True]


def spellings_of_targets() -> list[str]:
    rows = table(section(page("reference/configuration.md"), "`[routes]`"))[1:]
    return ["".join(pair) for row in rows for pair in re.findall(r'`(?:"([^"…]+)"|(\d+))`', row[0])]


@pytest.mark.parametrize("text", spellings_of_targets())
def test_every_spelling_of_a_target_is_one(text: str) -> None:
    parse_target(text, "/project")


def test_every_kind_of_target_is_spelled_there() -> None:
    schemes = {type(parse_target(text, "/project")).__name__ for text in spellings_of_targets()}
    assert schemes == {"TcpTarget", "UnixTarget", "StaticTarget"}


def command_lines() -> Iterator[str]:
    texts = [text for name, text in PAGES.items() if name != GENERATED]
    for text in texts:
        typed = [line for block in code_blocks("sh", text) for line in block.splitlines()]
        typed += [line[2:] for block in code_blocks("console", text) for line in block.splitlines() if line[:2] == "$ "]
        for line in [*typed, *code_spans(text)]:
            if line.startswith("devtls ") and "[" not in line:
                yield re.split(r"#| [|>] ", line)[0].strip()


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_every_command_line_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, line
        command, words = found, words[1:]
    if words:  # a command alone is its name, wherever it has to have arguments
        command.make_context(line, words)


def test_the_named_variables_move_the_directories() -> None:
    names = [
        row[0].strip("`") for row in table(section(page("reference/environment.md"), "Environment and directories"))[1:]
    ]
    assert len(names) == 3
    moved = Paths.from_environment({name: f"/x/{name}" for name in names})
    assert (moved.state_dir, moved.config_dir, moved.runtime_dir) == tuple(Path(f"/x/{name}") for name in names)


@pytest.mark.parametrize("text", [marked(page("how-to/trust.md"), "zones")])
def test_the_named_zones_are_accepted_as_written(text: str) -> None:
    allowed, _, refused = text.partition("so\nneither")
    public = {"com", "co.uk"}.__contains__
    zones = re.findall(r"`([\w.]+)`", allowed)
    assert zones
    for zone in zones:
        parse_zone(zone, is_public_suffix=public)
    others = re.findall(r"`([\w.]+)`", refused)
    assert others
    for zone in others:
        with pytest.raises(InvalidName):
            parse_zone(zone, is_public_suffix=public)


def test_the_named_numbers_are_those_of_the_code() -> None:
    assert f"comes round {LOOP_LIMIT} times" in page("reference/headers.md")
    assert f"a leaf {PROFILE.leaf_lifetime.days} days" in page("explanation/certificates.md")
    assert int(marked(page("how-to/acme.md"), "orders")) == ORDERS_PER_HOUR
    burst, refill, kept = contexts._BURST, contexts._REFILL_PER_S, contexts._LRU_SIZE
    expected = f"{burst} new names at once, then {refill:g} a second; {kept:,} kept"
    assert expected in page("explanation/security-model.md")


def test_the_named_ports_are_those_of_the_code() -> None:
    dns, pac = DnsConfig().port, PacConfig().port
    assert f"[port {dns}](../reference/configuration.md#dns)" in page("how-to/names.md")
    assert set(re.findall(r"dig -p (\d+) @", WHOLE)) == {str(dns)}
    assert set(re.findall(r"http://127\.0\.0\.1:(\d+)/proxy\.pac", WHOLE)) == {str(pac)}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for target in targets:
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text()), target


@pytest.mark.parametrize("name", PAGES)
def test_every_file_of_the_repository_that_is_named_exists(name: str) -> None:
    for span in code_spans(PAGES[name]):
        if (
            re.fullmatch(r"(devtls|tests|docs|examples|\.github|\.ci|\.devcontainer)(/[\w.-]+)*/?", span)
            and span != "devtls"
        ):
            assert (ROOT / span).exists(), span


def test_every_make_target_exists() -> None:
    rules = re.findall(r"^([a-z][a-z -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    typed = [line for block in code_blocks("sh") for line in block.splitlines()]
    named = {words.split()[1] for words in [*code_spans(), *typed] if words.startswith("make ")}
    assert named <= targets


def test_the_layers_are_those_that_the_linter_enforces() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    drawn = code_blocks("text", marked(page("explanation/architecture.md"), "layers"))[0].splitlines()
    assert [line[: line.index("   ")] for line in drawn] == layers


def test_there_is_one_place_for_the_figures_of_the_benchmark() -> None:
    assert WHOLE.count("<!-- bench -->") == WHOLE.count("<!-- /bench -->") == 1


def test_the_readme_claims_what_was_measured() -> None:
    rows = table(marked(page("explanation/measurements.md"), "bench"))
    column = rows[0].index("devtls : Caddy")
    ratios = {row[0]: float(row[column]) for row in rows[1:] if row[0].startswith("CPU per request")}
    assert "less than half of Caddy's CPU for a request over HTTP/1.1, about a quarter over HTTP/2" in README
    assert ratios and all(ratio < (0.5 if "h1" in name else 0.3) for name, ratio in ratios.items())


def test_nothing_of_a_machine_is_left() -> None:
    assert not re.findall(r"/(?:root|tmp|srv|home/\w+)/", WHOLE)
