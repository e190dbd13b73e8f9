from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from devtls.errors import CertificateError
from devtls.pki.java_truststore import write_pkcs12
from devtls.system.changes.clientenv.java_options import extend
from devtls.system.changes.clientenv.java_roots import JavaRootFacts, certificates_of, probe_java
from devtls.system.changes.truststore.root import RootCertificate
from tests.conftest import RequireTool
from tests.system.changes.clientenv.conftest import CORPORATE, PUBLIC
from tests.system.changes.truststore.keytool import QUICK_START

TRUST = "-Djavax.net.ssl.trustStore="


@pytest.fixture
def jdk(tmp_path: Path) -> Path:
    security = tmp_path / "jdk/lib/security"
    security.mkdir(parents=True)
    (security / "cacerts").write_bytes(write_pkcs12({"public": PUBLIC}))
    return tmp_path / "jdk"


def test_java_home_leads_to_its_cacerts(jdk: Path) -> None:
    expected = JavaRootFacts("-Xmx1g", str(jdk / "lib/security/cacerts"), (PUBLIC,))
    assert probe_java({"JAVA_HOME": str(jdk), "JAVA_TOOL_OPTIONS": "-Xmx1g"}) == expected


def test_the_java_on_the_path_leads_to_its_own_through_links(jdk: Path, tmp_path: Path) -> None:
    for directory in (jdk / "bin", tmp_path / "bin"):
        directory.mkdir()
    (jdk / "bin/java").write_text("#!/bin/sh\n")
    (jdk / "bin/java").chmod(0o755)
    (tmp_path / "bin/java").symlink_to(jdk / "bin/java")
    assert probe_java({"PATH": str(tmp_path / "bin")}).certificates == (PUBLIC,)


def test_jssecacerts_takes_the_place_of_cacerts_and_java_8_has_a_jre(jdk: Path) -> None:
    (jdk / "lib/security/jssecacerts").write_bytes(write_pkcs12({"corp": CORPORATE}))
    assert probe_java({"JAVA_HOME": str(jdk)}).certificates == (CORPORATE,)
    (jdk / "jre").mkdir()
    (jdk / "lib").rename(jdk / "jre/lib")
    assert probe_java({"JAVA_HOME": str(jdk)}).base == str(jdk / "jre/lib/security/jssecacerts")


def test_no_java_is_no_trouble(tmp_path: Path) -> None:
    assert probe_java({"PATH": str(tmp_path)}) == JavaRootFacts()
    assert probe_java({"JAVA_HOME": str(tmp_path)}) == JavaRootFacts()


def test_a_truststore_that_the_user_named_comes_first_and_ours_is_not_it(jdk: Path, tmp_path: Path) -> None:
    own = tmp_path / "co rp.p12"
    own.write_bytes(write_pkcs12({"corp": CORPORATE}))
    options = f"'{TRUST}{own}'"
    environ = {"JAVA_HOME": str(jdk), "JAVA_TOOL_OPTIONS": extend(options, "/s/devtls-truststore-12.p12")}
    assert probe_java(environ) == JavaRootFacts(options, str(own), (CORPORATE,), own=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-Djavax.net.ssl.trustStoreType=Windows-ROOT", "windows-root"),
        ("-Djavax.net.ssl.trustStoreProvider=SunPKCS11", "a provider"),
        (TRUST + "/gone.jks", "No such file"),
    ],
)
def test_what_is_no_file_that_can_be_read_is_trouble(options: str, said: str, jdk: Path) -> None:
    facts = probe_java({"JAVA_HOME": str(jdk), "JAVA_TOOL_OPTIONS": options})
    assert (facts.own, facts.certificates) == (True, ())
    assert said in facts.trouble


def test_a_damaged_cacerts_is_trouble(jdk: Path) -> None:
    (jdk / "lib/security/cacerts").write_bytes(b"nonsense")
    facts = probe_java({"JAVA_HOME": str(jdk)})
    assert "has another password" in facts.trouble
    assert not facts.own


def test_an_encrypted_one_is_opened_with_its_password(root: RootCertificate, tmp_path: Path) -> None:
    held = [pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(root.der), b"root")]
    data = pkcs12.serialize_java_truststore(held, BestAvailableEncryption(b"secret"))
    (tmp_path / "own.p12").write_bytes(data)
    options = f"{TRUST}{tmp_path / 'own.p12'} -Djavax.net.ssl.trustStorePassword=secret"
    assert probe_java({"JAVA_TOOL_OPTIONS": options}).certificates == (root.der,)
    with pytest.raises(CertificateError, match="another password"):
        certificates_of(data)


@pytest.mark.parametrize("form", ["JKS", "PKCS12"])
def test_what_keytool_makes_is_read(
    form: str, root: RootCertificate, tmp_path: Path, require_tool: RequireTool
) -> None:
    keytool = require_tool("keytool", "sudo apt-get install default-jdk-headless")
    root_file, store = tmp_path / "root.pem", tmp_path / "store"
    root_file.write_bytes(root.pem)
    argv = [
        keytool,
        *QUICK_START,
        "-importcert",
        "-noprompt",
        "-alias",
        "a",
        "-file",
        str(root_file),
        "-keystore",
        str(store),
    ]
    subprocess.run([*argv, "-storetype", form, "-storepass", "changeit"], check=True, capture_output=True, timeout=60)
    assert certificates_of(store.read_bytes()) == (root.der,)


def test_keytool_reads_what_we_make_with_and_without_a_password(
    root: RootCertificate, tmp_path: Path, require_tool: RequireTool
) -> None:
    keytool = require_tool("keytool", "sudo apt-get install default-jdk-headless")
    (tmp_path / "store.p12").write_bytes(write_pkcs12({"devtls root": root.der}))
    for password in ((), ("-storepass", "anything")):
        argv = [keytool, *QUICK_START, "-list", "-keystore", str(tmp_path / "store.p12"), *password]
        listed = subprocess.run(argv, input="", capture_output=True, text=True, check=True, timeout=60).stdout
        assert "devtls root" in listed
        assert "trustedCertEntry" in listed
        assert root.fingerprint.upper() in listed.replace(":", "")
