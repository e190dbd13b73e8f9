"""The exception tree says what is wrong, where, and what to do next."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from devtls import errors
from devtls.errors import (
    AcmeProblem,
    CertificateError,
    ConfigError,
    DevtlsError,
    ExitCode,
    HeadTooLarge,
    InvalidAddress,
    InvalidName,
    NameNotPermitted,
    NoAuthority,
    NoConnection,
    NotAllowed,
    PortInUse,
    ProtocolViolation,
    Refused,
    StateError,
    TrustFailed,
)


def test_an_error_is_one_sentence_and_a_hint() -> None:
    error = DevtlsError("It broke.", hint="Mend it.")
    assert (str(error), error.hint, error.exit_code) == ("It broke.", "Mend it.", ExitCode.FAILED)
    assert DevtlsError("It broke.").hint == ""


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ConfigError("wrong."), "wrong."),
        (ConfigError("wrong.", source="devtls.toml"), "devtls.toml: wrong."),
        (ConfigError("wrong.", source="devtls.toml", line=3), "devtls.toml:3: wrong."),
        (ConfigError("wrong.", source="devtls.toml", key="routes.app", line=3), "devtls.toml:3: routes.app: wrong."),
        (NotAllowed("wrong.", source="command line", key="app"), "command line: app: wrong."),
    ],
)
def test_a_config_error_names_file_line_and_key(error: ConfigError, shown: str) -> None:
    assert str(error) == shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidName("x"), ExitCode.CONFIG),
        (ConfigError("x"), ExitCode.CONFIG),
        (NotAllowed("x"), ExitCode.CONFIG),
        (CertificateError("x"), ExitCode.STATE),
        (NameNotPermitted("x", name="a.test"), ExitCode.STATE),
        (StateError("x", path="/x"), ExitCode.STATE),
        (NoAuthority("x"), ExitCode.STATE),
        (Refused("x"), ExitCode.REFUSED),
        (InvalidAddress("x"), ExitCode.USAGE),
        (NoConnection("x"), ExitCode.NO_CONNECTION),
        (PortInUse("x", port=443, holder="nginx"), ExitCode.PORT_IN_USE),
        (TrustFailed("x"), ExitCode.NOT_TRUSTED),
        (ProtocolViolation("x", status=431), ExitCode.FAILED),
    ],
)
def test_each_error_ends_the_command_with_its_code(error: DevtlsError, code: ExitCode) -> None:
    assert error.exit_code is code


def test_errors_carry_what_a_program_needs() -> None:
    assert InvalidName("x", name="a_b").name == "a_b"
    assert NameNotPermitted("x", name="a.com").name == "a.com"
    assert StateError("x", path="/state").path == "/state"
    taken = PortInUse("x", port=443, holder="nginx")
    assert (taken.port, taken.holder) == (443, "nginx")
    assert ProtocolViolation("x").status == 400


def tree_of(error: type[DevtlsError], first: str = "", following: str = "") -> Iterator[tuple[str, str]]:
    """Yield each class below `error` as the docstring draws it, with its exit code or "status"."""
    carries_status = "status" in inspect.signature(error).parameters
    yield (
        first + error.__name__,
        "status" if carries_status else str(int(error("x", **REQUIRED.get(error, {})).exit_code)),
    )
    below = [each for each in error.__subclasses__() if each.__module__ == errors.__name__]
    for each in below:
        last = each is below[-1]
        yield from tree_of(each, following + ("└── " if last else "├── "), following + ("    " if last else "│   "))


REQUIRED: dict[type[DevtlsError], dict[str, Any]] = {AcmeProblem: {"kind": "malformed"}, HeadTooLarge: {"limit": 1}}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^    (\W*\w+) +(\d+|status) +(\S.*)$", errors.__doc__ or "", re.MULTILINE)
    assert [(name, code) for name, code, _ in drawn] == list(tree_of(DevtlsError))


def test_what_an_error_quotes_is_cut() -> None:
    error = ConfigError("x" * 1_000_000 + " is no name.", key="y" * 1_000_000, hint="a " * 1_000_000)
    assert str(error).startswith("y" * 100 + "…: " + "x" * 100 + "… is no name.")
    assert len(str(error)) < 300
    assert len(error.hint) == 8001
    assert InvalidName("It is no name.", name="x" * 1_000_000).name == "x" * 100 + "…"
    assert str(DevtlsError("/a/path" * 60)) == "/a/path" * 60
