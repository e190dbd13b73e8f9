"""The public names of the package, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import devtls

NOT_LOADED = ("asyncio", "aiohttp", "click", "cryptography", "msgspec", "ssl", "uvloop")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_loads_no_module_of_it_and_neither_asyncio_nor_aiohttp() -> None:
    loaded = run("import sys, devtls; print(*sys.modules)").split()
    assert [name for name in loaded if name.partition(".")[0] == "devtls"] == ["devtls"]
    assert not set(NOT_LOADED).intersection(loaded)


@pytest.mark.parametrize("name", devtls.__all__)
def test_a_public_name_is_loaded_when_it_is_used(name: str) -> None:
    loaded = run(f"import sys; from devtls import {name}; print({name}.__module__, *sys.modules)").split()
    assert getattr(devtls, name) is getattr(import_module(loaded[0]), name)
    assert loaded[0] in loaded[1:]
    assert not {"asyncio", "aiohttp"}.intersection(loaded)


def test_the_public_names_are_listed() -> None:
    assert devtls.__all__ == sorted(devtls.__all__)
    assert set(devtls.__all__) <= set(dir(devtls))
    documented = [line.split()[0] for line in (devtls.__doc__ or "").splitlines() if line.startswith("    ")]
    assert sorted(documented) == devtls.__all__


def test_another_name_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="'devtls' has no attribute 'Nothing'"):
        _ = devtls.Nothing
