"""Public suffixes: anybody registers names below them, so no development CA may cover one.

Owns the look-up. Suffixes of the list's private section (github.io) count too. The list takes 50 ms to load: only
adding a zone needs it.
"""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def is_public_suffix(name: str) -> bool:
    """Say whether `name` (lower-case A-labels) is itself a public suffix."""
    return bool(_suffixes().is_public(name))


@cache
def _registries() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


def is_registry_suffix(name: str) -> bool:
    """Say whether `name` is a suffix of a registry (`co.uk`, not github.io): browsers take no wildcard below one."""
    return bool(_registries().is_public(name))
