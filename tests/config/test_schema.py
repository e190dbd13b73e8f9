"""The JSON Schema of devtls.toml agrees with the parser, as far as a schema can say it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from devtls.config import parse_config
from devtls.config.descriptions import ROUTE, SETTINGS
from devtls.config.edit import NEW_FILE
from devtls.config.schema import SCHEMA_LINE, config_schema
from devtls.errors import ConfigError

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft7Validator(config_schema())

ACCEPTED = [
    "",
    (SCHEMA_LINE + NEW_FILE).decode() + "app = 3000\n",
    "[serve]\nhttps_port = 0\nhttp_port = 8080\nlisten = '127.0.0.1'\nlog_format = 'json'\nhttp2 = false\n",
    "[serve]\nlisten = ['127.0.0.1', '::1']\nredirect = false\ntrust_forwarded = true\n",
    "[dns]\nenabled = false\nport = 15353\n[pac]\nport = 0\n[ca]\nocsp = true\n",
    "[limits]\nhead_timeout_s = 1\nlinger_s = 0.5\nmax_fields = 4096\n",
    "[acme]\nenabled = true\nhttp_port = 8080\ntls_port = { 'web.dev.local' = 8443 }\n",
    "[acme.eab]\nme = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'\n",
    "[routes]\napp = { target = 3000, host = 'upstream', via = false, hsts = 'keep', strip_prefix = true }\n",
    "[routes]\napi = { target = 'https://10.0.0.5', allow_remote = true, ca = 'corp.pem' }\n",
    "[routes]\nsite = { static = 'site' }\n",
    "[routes]\napp = { target = 3000, client_auth = 'require', client_ca = 'clients.pem' }\n",
]
REFUSED = [
    "[server]\n",
    "[serve]\nport = 1\n",
    "[serve]\nhttps_port = 65536\n",
    "[serve]\nhttps_port = '443'\n",
    "[serve]\nlisten = []\n",
    "[serve]\nlog_format = 'xml'\n",
    "[serve]\nhttp2 = 1\n",
    "[dns]\nport = -1\n",
    "[ca]\nocsp = 'yes'\n",
    "[limits]\nmax_fields = 1\n",
    "[limits]\nmax_fields = 100.5\n",
    "[limits]\nlinger_s = '2'\n",
    "[acme]\nhttp_port = 0\n",
    "[acme]\neab = 'x'\n",
    "[routes]\napp = 0\n",
    "[routes]\napp = ''\n",
    "[routes]\napp = true\n",
    "[routes]\napp = { host = 'keep' }\n",
    "[routes]\napp = { target = 1, static = 'x' }\n",
    "[routes]\napp = { target = 1, hosts = 'keep' }\n",
    "[routes]\napp = { target = 1, client_auth = 'maybe' }\n",
]


def accepts(text: str) -> bool:
    return bool(VALIDATOR.is_valid(tomllib.loads(text)))


def test_the_schema_is_one_of_draft_7() -> None:
    Draft7Validator.check_schema(config_schema())


@pytest.mark.parametrize("text", ACCEPTED)
def test_files_that_the_parser_takes_are_accepted(text: str) -> None:
    parse_config(text.encode(), source="devtls.toml", directory="/project")
    assert accepts(text)


@pytest.mark.parametrize("text", REFUSED)
def test_files_that_the_parser_refuses_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text.encode(), source="devtls.toml", directory="/project")
    assert not accepts(text)


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/**/devtls.toml")), ids=lambda file: file.parent.name)
def test_the_examples_are_accepted(file: Path) -> None:
    assert accepts(file.read_text())


def test_every_key_is_in_it_with_its_description() -> None:
    sections = config_schema()["properties"]
    for name, keys in SETTINGS.items():
        assert list(sections[name]["properties"]) == list(keys)
    route = sections["routes"]["additionalProperties"]["anyOf"][-1]
    assert set(route["properties"]) == set(ROUTE)
    assert route["properties"]["verify"]["default"] is True
    assert "default" not in route["properties"]["ca"]
    assert sections["serve"]["properties"]["https_port"]["description"].endswith("Default: 443, or 8443.")
