"""What every test gets: a home of its own, real clients or a clear skip, and an event loop that must not block.

Owns the isolation from the machine: no test sees or changes the developer's home, state folder or CA variables.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from blockbuster import blockbuster_ctx

from tests.effort import IS_CI, load_profile

load_profile()

OUTER_ENVIRON = dict(os.environ)
NEVER_BLOCKS = ("net", "daemon")
FOREIGN_VARIABLES = (
    *(
        "SUDO_UID",
        "SUDO_GID",
        "SUDO_USER",
        "PKEXEC_UID",
        "DOAS_USER",
        "SSH_CONNECTION",
        "WSL_DISTRO_NAME",
        "WSL_INTEROP",
    ),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "DENO_CERT"),
    *("PIP_CERT", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "SSLKEYLOGFILE", "OPENSSL_CONF"),
    *(
        "GIT_SSL_NO_VERIFY",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "NODE_OPTIONS",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
    ),
    *("JAVA_HOME", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "SDKMAN_DIR", "ASDF_DATA_DIR", "MISE_DATA_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM"),
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "PYTHONWARNINGS", "PYTHONUTF8"),
)
OWN_SWITCH = "DEVTLS_TEST_"
"""The variables of the tests themselves begin so; every other one of devtls' is its user's."""

OWN_DIRECTORIES = {
    "XDG_RUNTIME_DIR": "run",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "XDG_CACHE_HOME": ".cache",
    "DEVTLS_STATE_DIR": "state",
    "DEVTLS_CONFIG_DIR": "config",
}

RequireTool = Callable[[str, str], str]
"""(program, how to install it) -> its path."""

Missing = Callable[[str], NoReturn]
"""(sentence) -> the test ends: skipped here, failed in CI."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ask for a program of somebody else's."""
    for item in items:
        if isinstance(item, pytest.Function) and "require_tool" in item.fixturenames:
            item.add_marker("tools")


@pytest.fixture(autouse=True)
def home() -> Iterator[Path]:
    """Give the test an empty home; its path is short because a Unix socket's path ends at 107 bytes."""
    umask = os.umask(0o022)
    root = Path(tempfile.mkdtemp(prefix="devtls-"))
    (root / "run").mkdir(mode=0o700)
    # Not the test's own monkeypatch: what that changed (os.open, say) must be back before the folder is removed.
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            foreign = name.startswith("DEVTLS_") and not name.startswith(OWN_SWITCH)
            if foreign or name.upper() in FOREIGN_VARIABLES:
                patch.delenv(name)
        patch.setenv("HOME", str(root))
        for name, directory in OWN_DIRECTORIES.items():
            patch.setenv(name, str(root / directory))
        yield root
    shutil.rmtree(root, ignore_errors=True)
    os.umask(umask)


@pytest.fixture(scope="session")
def outer_environ() -> dict[str, str]:
    """Return the environment from before the isolation, for tools that need the user's (npm and its registry)."""
    return dict(OUTER_ENVIRON)


@pytest.fixture(scope="session")
def require_tool() -> RequireTool:
    """Return a function that finds a program: without it the test is skipped, in CI it fails."""
    return _require_tool


@pytest.fixture(scope="session")
def missing() -> Missing:
    """Return a function that ends a test for want of something: a skip on a user's machine, a failure in CI."""
    return _missing


@pytest.fixture(autouse=True)
def never_blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """In tests/net and tests/daemon a blocking call of ours in the loop fails the test; `may_block` opts out."""
    tests = Path(__file__).parent
    package = request.path.relative_to(tests).parts[0]
    if package not in NEVER_BLOCKS or request.node.get_closest_marker("may_block"):
        yield
        return
    with blockbuster_ctx("devtls") as detector:
        for function in detector.functions.values():
            # SSLContext.load_cert_chain takes paths only; the memfd behind one is never on a disk.
            function.can_block_in("system/machine/pem.py", "pem_path")
        yield


def _require_tool(name: str, install_hint: str) -> str:
    found = shutil.which(name, path=OUTER_ENVIRON.get("PATH"))
    if found is None:
        _missing(f"{name} is not installed: {install_hint}")
    return found


def _missing(message: str) -> NoReturn:
    if IS_CI:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
