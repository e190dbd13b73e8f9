from __future__ import annotations

from dataclasses import replace

import pytest

from devtls.doctor.health.finding import Level
from devtls.doctor.health.machine import MachineFacts, check_machine

FACTS = MachineFacts("Linux x86_64", "0.1.0", "3.11.7", "OpenSSL 3.0.19")


def test_it_is_facts_only() -> None:
    found = list(check_machine(replace(FACTS, wsl=True, sources=("files", "dns"), systemd=252, resolved=True)))
    assert {each.level for each in found} == {Level.OK}
    assert [each.what for each in found[:2]] == [
        "devtls 0.1.0, Python 3.11.7, OpenSSL 3.0.19, Linux x86_64, inside WSL.",
        "Names are looked up in this order: files dns.",
    ]
    assert [each.id for each in check_machine(FACTS)] == ["versions"]


@pytest.mark.parametrize(("version", "way"), [(258, "hand a whole zone"), (252, "for every name"), (245, "too old")])
def test_what_resolved_can_do_depends_on_its_version(version: int, way: str) -> None:
    *_, last = check_machine(replace(FACTS, systemd=version, resolved=True))
    assert f"systemd-resolved {version} runs" in last.what
    assert way in last.what
