"""The short way to read arguments says what click says, or nothing."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import click
import msgspec
import pytest

from devtls.cli.proxy.serve import command
from devtls.cli.proxy.serve_arguments import ServeArguments, read_plain

WORDS = [
    "app=3000", "docs=./site", "*.app=3000", "", "-", "--", "-v", "-q", "-vq", "--verbose", "--quiet", "--verb",
    "--no-redirect", "--no-redirect=1", "--https-port", "--http-port", "--https-port=8443", "--https-port=", "0",
    "443", "65535", "65536", "-1", "+1", "1_0", " 1", "٣", "--listen", "--listen=::1", "127.0.0.1", "--config",
    "--config=x.toml", "--log-format", "--log-format=json", "json", "JSON", "xml", "--help", "-h", "--what",
    "--log-file", "--log-file=x.log", "--allow-remote",
]  # fmt: skip


def read_by_click(arguments: list[str]) -> dict[str, Any] | None:
    try:
        return command.make_context("serve", list(arguments), resilient_parsing=False).params
    except (click.ClickException, click.exceptions.Exit):
        return None


def agree(arguments: list[str]) -> bool:
    """Say whether the short way was taken; it must not differ."""
    plain = read_plain(arguments)
    if plain is not None:
        assert msgspec.structs.asdict(plain) == read_by_click(arguments), arguments
    return plain is not None


def test_every_pair_of_words_is_read_as_click_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    for first in WORDS:
        agree([first])
        for second in WORDS:
            agree([first, second])


def test_longer_lines_are_read_as_click_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    source = random.Random(11)
    taken = sum(agree(source.choices(WORDS, k=source.randrange(3, 7))) for _ in range(3000))
    assert taken > 50


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ServeArguments()),
        ("app=3000 *.app=3000", ServeArguments(routes=("app=3000", "*.app=3000"))),
        ("-q --https-port 0 --no-redirect", ServeArguments(quiet=True, https_port=0, no_redirect=True)),
        ("--listen ::1 --listen=127.0.0.1", ServeArguments(listen=("::1", "127.0.0.1"))),
        ("--http-port 80 --log-format json a=1", ServeArguments(http_port=80, log_format="json", routes=("a=1",))),
    ],
)
def test_everyday_lines_go_the_short_way(line: str, expected: ServeArguments) -> None:
    assert read_plain(line.split()) == expected


@pytest.mark.parametrize("line", ["--help", "-h", "-v -q", "--https-port", "--https-port x", "--hots a=1", "-vq", "--"])
def test_the_rest_is_left_to_click(line: str) -> None:
    assert read_plain(line.split()) is None


def test_the_short_way_loads_no_click() -> None:
    code = (
        "import sys, devtls.cli.proxy.serving\n"
        "from devtls.cli.proxy.serve_arguments import read_plain; read_plain(['app=3000'])\n"
        "print('click' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
