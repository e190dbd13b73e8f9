"""The exception tree says what is wrong, where, and what to do next."""

from __future__ import annotations

import pytest

from devtls import errors
from devtls.errors import (
    CertificateError,
    ConfigError,
    DevtlsError,
    ExitCode,
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


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, DevtlsError):
            assert name in (errors.__doc__ or "")
