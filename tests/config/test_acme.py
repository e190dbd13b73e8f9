"""The [acme] section: ports by name, keys of external accounts."""

from __future__ import annotations

import pytest

from devtls.config import AcmeConfig, needs_allow, parse_config
from devtls.config.acme import port_for
from devtls.errors import ConfigError


def parse(text: str) -> AcmeConfig:
    return parse_config(text.encode(), source="devtls.toml", directory="/project").acme


def refuse(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value


def test_it_is_off_until_it_is_switched_on() -> None:
    assert parse("") == AcmeConfig() and not parse("").enabled
    assert parse("\n[acme]\nenabled = true") == AcmeConfig(enabled=True, line=3)


def test_every_setting() -> None:
    found = parse(
        """
        [acme]
        enabled = true
        http_port = 5002
        tls_port = { "web.dev.local" = 5001, "*.k8s.test" = 5003, "*" = 5004, localhost = 5005 }
        eab = { team = "AAECAwQFBgcICQoLDA0ODw==", other = "-_-_-_-_-_-_-_-_-_-_-_-_" }
        """
    )
    assert found.http_port == (("*", 5002),)
    assert found.tls_port == (("web.dev.local", 5001), ("*.k8s.test", 5003), ("*", 5004), ("localhost", 5005))
    assert dict(found.eab)["team"] == bytes(range(16))
    assert dict(found.eab)["other"] == bytes.fromhex("fbffbf" * 6)


def test_the_most_precise_port_counts() -> None:
    ports = (("*", 1), ("*.test", 2), ("*.app.test", 3), ("web.app.test", 4))
    wanted = {"a.dev.local": 1, "test": 1, "a.test": 2, "a.app.test": 3, "a.b.app.test": 3, "web.app.test": 4}
    assert {name: port_for(ports, name) for name in wanted} == wanted
    assert port_for((("web.test", 1),), "other.test") is None
    assert port_for((), "web.test") is None


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        ("enabled = 1", "acme.enabled", "Write enabled = true or enabled = false."),
        ("directory = 1", "acme.directory", "Allowed are: enabled, http_port, tls_port, eab."),
        ("http_port = 0", "acme.http_port", "Write a port of this machine"),
        ('http_port = "5002"', "acme.http_port", "Write a port of this machine"),
        ('tls_port = { "a.test" = 65536 }', 'acme.tls_port."a.test"', "Write a port of this machine"),
        ("tls_port = { web = 80 }", "acme.tls_port.web", "web.dev.local"),
        ('tls_port = { "a b" = 80 }', 'acme.tls_port."a b"', "letters, digits, hyphens"),
        ('eab = "secret"', "acme.eab", "Write eab ="),
        ("eab = { team = 5 }", "acme.eab.team", "openssl rand 32"),
        ('eab = { team = "c2hvcnQ" }', "acme.eab.team", "openssl rand 32"),
        ('eab = { team = "AAECAwQFBgcICQoLDA0ODw/+" }', "acme.eab.team", "openssl rand 32"),
        ('eab = { team = "AAECAwQFBgcICQoLDA0ODwAAA" }', "acme.eab.team", "openssl rand 32"),
    ],
)
def test_a_wrong_setting_is_told_with_what_is_allowed(line: str, key: str, hint: str) -> None:
    error = refuse(f"[acme]\n{line}\n")
    assert error.key == key
    assert hint in error.hint
    assert "secret" not in str(error)


def test_a_found_file_needs_a_word_to_give_out_certificates() -> None:
    config = parse_config(b"[acme]\nenabled = true\n[routes]\napp = 1", source="devtls.toml", directory="/project")
    (reason,) = needs_allow(config, "/project", resolve=str)
    assert (reason.key, reason.line) == ("acme", 2)
    assert "certificates of your CA" in reason.text
