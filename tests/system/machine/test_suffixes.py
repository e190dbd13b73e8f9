from __future__ import annotations

import pytest

from devtls.errors import InvalidName
from devtls.names import parse_zone
from devtls.system.machine.suffixes import is_public_suffix


@pytest.mark.parametrize("name", ["com", "co.uk", "github.io", "foo.ck"])
def test_suffixes_of_registries_and_of_hosters_are_public(name: str) -> None:
    assert is_public_suffix(name)


@pytest.mark.parametrize("name", ["dev.local", "corp.internal", "example.com", "me.github.io", "www.ck"])
def test_names_below_them_and_private_names_are_not(name: str) -> None:
    assert not is_public_suffix(name)


def test_it_serves_the_zone_rule() -> None:
    assert parse_zone("dev.example.com", is_public_suffix=is_public_suffix) == "dev.example.com"
    with pytest.raises(InvalidName, match="public suffix"):
        parse_zone("github.io", is_public_suffix=is_public_suffix)
