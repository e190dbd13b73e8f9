from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from devtls.system.changes.clientenv.java_options import extend, named_truststore, own_property, without_ours, words
from tests.conftest import RequireTool

PATHS = ["/s/devtls-truststore.p12", """/a b/it's "so" $x\\n/devtls-truststore-12abcdef.p12"""]
OWN = ["", "-Xmx1g", "-Xmx1g  '-Dfoo=a b'\t-Dz=\"'\"", "-Djavax.net.ssl.trustStore=/c/corp.jks", " -Dunfinished='x y"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("own", OWN[:-1])
def test_the_users_own_text_stays_and_comes_back(own: str, path: str) -> None:
    extended = extend(own, path)
    assert extended.startswith(own)
    assert words(extended) == [
        *words(own),
        f"-Djavax.net.ssl.trustStore={path}",
        "-Djavax.net.ssl.trustStoreType=PKCS12",
    ]
    assert named_truststore(extended) == path
    assert without_ours(extended) == own
    assert extend(extended, path) == extended
    assert without_ours(extend(extended, "/elsewhere/devtls-truststore-0a.p12")) == own


@pytest.mark.parametrize("own", OWN)
def test_what_has_nothing_of_ours_is_left_as_it_is(own: str) -> None:
    assert without_ours(own) == own
    assert named_truststore(own) is None


def test_options_behind_ours_stay_too() -> None:
    extended = extend("-Da", PATHS[1]) + " -Djavax.net.ssl.trustStoreType=PKCS12x -Db"
    assert without_ours(extended) == "-Da -Djavax.net.ssl.trustStoreType=PKCS12x -Db"


def test_the_users_own_properties_are_read_the_last_one_wins() -> None:
    options = "-Djavax.net.ssl.trustStore=/one '-Djavax.net.ssl.trustStore=/t wo'"
    assert own_property(extend(options, PATHS[0]), "trustStore") == "/t wo"
    assert own_property(extend("", PATHS[0]), "trustStore") is None
    assert own_property("-Djavax.net.ssl.trustStoreType=JKS", "trustStore") is None


@pytest.mark.parametrize("path", PATHS)
def test_a_real_jvm_reads_the_words_as_we_wrote_them(path: str, require_tool: RequireTool, tmp_path: Path) -> None:
    java = Path(require_tool("java", "sudo apt-get install default-jdk-headless")).resolve()
    shown = subprocess.run(
        [java, "-XshowSettings:properties", "-version"],
        env={"JAVA_TOOL_OPTIONS": extend("'-Down=a b'", path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    properties = dict(re.findall(r"^ +(\S+) = (.*)$", shown, re.MULTILINE))
    assert (properties["javax.net.ssl.trustStore"], properties["own"]) == (path.replace("\\n", "\\n"), "a b")
    assert properties["javax.net.ssl.trustStoreType"] == "PKCS12"
