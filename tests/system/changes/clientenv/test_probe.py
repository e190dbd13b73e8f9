from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devtls.system.changes.clientenv.bundle_file import render_bundle
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import Named, probe, tls_roots
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, ROOT_FILE
from devtls.system.changes.truststore.root import RootCertificate, pem_of
from tests.conftest import RequireTool
from tests.system.changes.clientenv.conftest import CORPORATE, CORPORATE_PEM, OTHER, PUBLIC


@pytest.fixture
def corporate(tmp_path: Path) -> Path:
    path = tmp_path / "corp.pem"
    path.write_bytes(CORPORATE_PEM)
    return path


def test_a_bare_environment_names_nothing(directory: Path, root: RootCertificate, system: Path) -> None:
    facts = probe(directory, root, {"SSL_CERT_FILE": ""}, system)
    assert (facts.own, facts.system) == ({}, (PUBLIC, OTHER))


def test_own_files_directories_and_missing_ones_are_told_apart(
    directory: Path, root: RootCertificate, system: Path, corporate: Path
) -> None:
    gone, store = corporate.with_name("gone.pem"), corporate.parent / "store"
    store.mkdir()
    (store / "a.0").write_bytes(CORPORATE_PEM)
    (store / "sub").mkdir()
    environ = {"SSL_CERT_FILE": str(corporate), "PIP_CERT": str(gone), "REQUESTS_CA_BUNDLE": str(store)}
    assert probe(directory, root, environ, system).own == {
        "SSL_CERT_FILE": Named(str(corporate), (CORPORATE,)),
        "PIP_CERT": Named(str(gone), ()),
        "REQUESTS_CA_BUNDLE": Named(str(store), (CORPORATE,)),
    }


def test_a_relative_name_is_kept_as_what_it_means_here(
    directory: Path, root: RootCertificate, system: Path, corporate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corporate.parent)
    own = probe(directory, root, {"SSL_CERT_FILE": "corp.pem"}, system).own
    assert own == {"SSL_CERT_FILE": Named(str(corporate), (CORPORATE,))}


def test_bundles_of_ours_stand_for_what_they_were_made_from(
    directory: Path, root: RootCertificate, system: Path, corporate: Path
) -> None:
    (directory / "ca-bundle-1.pem").write_bytes(render_bundle([CORPORATE, root.der], str(corporate)))
    (directory / "ca-bundle-2.pem").write_bytes(render_bundle([PUBLIC, root.der], ""))
    environ = {
        "SSL_CERT_FILE": str(directory / "ca-bundle-1.pem"),
        "CURL_CA_BUNDLE": str(directory / "ca-bundle-2.pem"),
        "PIP_CERT": str(directory / BUNDLE_FILE),
        "NODE_EXTRA_CA_CERTS": str(directory / ROOT_FILE),
    }
    assert probe(directory, root, environ, system).own == {"SSL_CERT_FILE": Named(str(corporate), (CORPORATE,))}


def test_twice_is_the_same_as_once(directory: Path, root: RootCertificate, system: Path, corporate: Path) -> None:
    environ = {"SSL_CERT_FILE": str(corporate), "JAVA_TOOL_OPTIONS": "-Xmx1g", "PATH": ""}
    first = plan_environment(probe(directory, root, environ, system))
    for path, content in first.files.items():
        path.write_bytes(content)
    second = plan_environment(probe(directory, root, {**environ, **first.variables}, system))
    assert second == first


def test_a_bundle_that_an_earlier_devtls_trust_made_gives_only_what_is_not_ours(
    directory: Path, root: RootCertificate, older_root: RootCertificate, system: Path
) -> None:
    former = directory / "ca-bundle-SSL_CERT_FILE.pem"
    former.write_bytes(CORPORATE_PEM + pem_of(older_root.der))
    own = probe(directory, root, {"SSL_CERT_FILE": str(former)}, system).own
    assert own == {"SSL_CERT_FILE": Named(str(former), (CORPORATE,))}


def test_gits_own_setting_counts_unless_its_variable_is_set(
    directory: Path, root: RootCertificate, corporate: Path, home: Path, require_tool: RequireTool
) -> None:
    git = require_tool("git", "sudo apt-get install git")
    environ = {"HOME": str(home), "PATH": str(Path(git).parent), "GIT_DIR": "/nowhere", "XDG_CONFIG_HOME": str(home)}
    assert probe(directory, root, environ).own == {}
    subprocess.run([git, "config", "--global", "http.sslCAInfo", str(corporate)], env=environ, check=True)
    expected = Named(str(corporate), (CORPORATE,))
    assert probe(directory, root, environ).own == {"GIT_SSL_CAINFO": expected}
    own = probe(directory, root, {**environ, "GIT_SSL_CAINFO": str(directory / "x")}).own
    assert own == {"GIT_SSL_CAINFO": Named(str(directory / "x"), ())}


def test_of_a_windows_store_only_certificates_for_servers_count() -> None:
    server, mail = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.4"
    entries: list[tuple[bytes, str, set[str] | bool]] = [
        (b"all", "x509_asn", True),
        (b"server", "x509_asn", {server, mail}),
        (b"mail", "x509_asn", {mail}),
        (b"none", "x509_asn", False),
        (b"pkcs7", "pkcs_7_asn", True),
    ]
    assert tls_roots(entries) == (b"all", b"server")
