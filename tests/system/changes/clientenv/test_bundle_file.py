from __future__ import annotations

import pytest

from devtls.system.changes.clientenv.bundle_file import base_of, head_of, render_bundle
from devtls.system.changes.truststore.root import certificates_in, pem_of
from tests.system.changes.clientenv.conftest import CORPORATE, PUBLIC


@pytest.mark.parametrize("base", ["", "/etc/corp.pem", '/a\nb/"quoted" #.pem', "/bytes/\udcff"])
def test_the_base_comes_back_and_the_certificates_are_all_there(base: str) -> None:
    data = render_bundle([CORPORATE, PUBLIC], base)
    assert base_of(data) == base
    assert list(certificates_in(data)) == [CORPORATE, PUBLIC]
    assert data == head_of(data) + pem_of(CORPORATE) + pem_of(PUBLIC)


@pytest.mark.parametrize("data", [b"", pem_of(PUBLIC), b"# another head\n" + pem_of(PUBLIC)])
def test_other_files_are_none_of_ours(data: bytes) -> None:
    assert base_of(data) is None
    assert head_of(data) == b""


@pytest.mark.parametrize("damage", [b"nonsense", b"7"])
def test_a_damaged_head_means_the_systems_roots(damage: bytes) -> None:
    data = render_bundle([PUBLIC], "/x")
    assert base_of(data.replace(b'"/x"', damage)) == ""
