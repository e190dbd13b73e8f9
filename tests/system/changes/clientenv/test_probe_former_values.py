from __future__ import annotations

from pathlib import Path

import pytest

from devtls.system.changes.clientenv import probe as restore
from devtls.system.changes.clientenv.files import write_files
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import Named, former_values, probe
from devtls.system.changes.truststore.root import RootCertificate
from tests.system.changes.clientenv.conftest import CORPORATE, CORPORATE_PEM

OWN: list[dict[str, str]] = [
    {},
    {"JAVA_TOOL_OPTIONS": "-Xmx1g  '-Da=b c'"},
    {"SSL_CERT_FILE": "corp.pem"},
    {"CURL_CA_BUNDLE": "corp.pem", "PIP_CERT": "other.pem"},
    {"NODE_EXTRA_CA_CERTS": "corp.pem", "GIT_SSL_CAINFO": "other.pem"},
]


@pytest.mark.parametrize("own", OWN)
def test_what_was_there_before_comes_back(
    own: dict[str, str], directory: Path, root: RootCertificate, system: Path, tmp_path: Path
) -> None:
    for name in ("corp.pem", "other.pem"):
        (tmp_path / name).write_bytes(CORPORATE_PEM)
    own = {name: str(tmp_path / value) if value.endswith(".pem") else value for name, value in own.items()}
    planned = plan_environment(probe(directory, root, own, system))
    write_files(directory, planned.files)
    former = former_values(planned.variables, directory)
    assert set(former) == set(planned.variables)
    assert {name: value for name, value in former.items() if value is not None} == own


def test_variables_without_anything_of_ours_are_left_alone(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "corp.pem").write_bytes(CORPORATE_PEM)
    environ = {"SSL_CERT_FILE": str(tmp_path / "corp.pem"), "PIP_CERT": "/gone", "JAVA_TOOL_OPTIONS": "-Xmx1g"}
    assert former_values(environ, directory) == {}


def test_gits_variable_goes_when_its_configuration_says_the_same(
    directory: Path, root: RootCertificate, system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corporate = tmp_path / "corp.pem"
    corporate.write_bytes(CORPORATE_PEM)
    planned = plan_environment(probe(directory, root, {"GIT_SSL_CAINFO": str(corporate)}, system))
    write_files(directory, planned.files)
    monkeypatch.setattr(restore, "git_setting", lambda *_: Named(str(corporate), (CORPORATE,)))
    assert former_values(planned.variables, directory)["GIT_SSL_CAINFO"] is None
