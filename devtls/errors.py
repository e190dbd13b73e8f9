"""Every error that devtls raises on purpose, and the exit codes of its commands.

Owns the exception tree. The number is the exit code of a command that ends with the error; an error with `status` is
answered with that HTTP status instead and ends no command::

    DevtlsError                  1    the root: one sentence, a hint, an exit code
    ├── InvalidName              3    a host name or zone that cannot be used
    ├── ConfigError              3    devtls.toml or the command line cannot be used; names file, key and line
    │   └── NotAllowed           3    a project file asks for more than it may without `devtls allow`
    ├── CertificateError         4    a certificate, key or CRL is damaged or unsuitable
    │   ├── NameNotPermitted     4    a name lies outside the zones of the CA
    │   └── WrongPassphrase      4    a locked key was not opened
    ├── StateError               4    the state directory: mode, owner, format, a damaged file
    │   └── NoAuthority          4    there is no CA yet
    ├── Refused                  7    the command refuses to run like this (under sudo; no terminal and no --yes)
    │   ├── UnknownStore         2    `--store` names a store that this machine does not have
    │   ├── UnknownMethod        2    `--method` names a method that `devtls setup` does not have on this machine
    │   └── InvalidAddress       2    `devtls check` was given an address that no browser opens with TLS
    ├── PortInUse                5    another program listens on the port
    ├── TrustFailed              6    no store that matters trusts the root
    ├── SetupFailed              1    `devtls setup` or `devtls unsetup` left something undone
    ├── NoConnection             8    no TLS connection was made, so there is no certificate to check
    ├── NotRunning               9    no `devtls serve` of this user runs
    ├── AlreadyServed            10   a `devtls serve` of this user serves the same name or file already
    ├── CommandNotRun            126  the command of `devtls env -- COMMAND` cannot be started (127: it does not exist)
    ├── ProtocolViolation        status  a peer broke HTTP
    ├── HeadTooLarge             1    a client takes no head as large as an app's
    ├── AcmeProblem              status  an ACME request is refused with a problem document
    └── LocalProtocolError       1    we were about to break HTTP ourselves: always a bug of devtls

An error's text is one sentence that says what is wrong; `hint` says what to do next. Both quote what they are about,
and are cut: a file may hold a name of a million letters.
"""

from __future__ import annotations

import re
from enum import IntEnum

# No name is longer than 253 letters, and hardly a path is.
_LONG_WORD = re.compile(r"\S{500,}")
_KEPT = 100
_LONGEST_TEXT = 8000


class ExitCode(IntEnum):
    """The exit codes of `devtls`."""

    OK = 0
    """done"""
    FAILED = 1
    """something failed; `doctor`: something is broken or will break; `check`: a browser would warn"""
    USAGE = 2
    """wrong usage"""
    CONFIG = 3
    """the configuration cannot be used"""
    STATE = 4
    """the CA or the state directory cannot be used"""
    PORT_IN_USE = 5
    """the port is taken"""
    NOT_TRUSTED = 6
    """no store that matters trusts the root"""
    REFUSED = 7
    """refused: under sudo, or nobody there to ask"""
    NO_CONNECTION = 8
    """no TLS connection"""
    NOT_RUNNING = 9
    """no `devtls serve` of yours runs"""
    ALREADY_SERVED = 10
    """a `devtls serve` of yours serves the same name or file already"""
    # 126, 127 and 130 (128 + SIGINT) are the shell's own numbers (POSIX, Shell Command Language 2.8.2).
    CANNOT_RUN = 126
    """the command of `devtls env` may not be run"""
    NO_SUCH_COMMAND = 127
    """there is no such command"""
    INTERRUPTED = 130
    """interrupted"""


class DevtlsError(Exception):
    """The root of the tree, and an error without a class of its own.

    `str(error)` is one sentence; `hint` is what to do next ("" when nothing can be done);
    `exit_code` is what the command line returns for it.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(shortened(message))
        self.hint = shortened(hint)


def shortened(text: str) -> str:
    """Return `text` with words of more than 500 characters cut to their beginning, and its end cut beyond 8,000."""
    if len(text) < _KEPT:
        return text
    text = _LONG_WORD.sub(lambda word: f"{word[0][:_KEPT]}…", text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


class InvalidName(DevtlsError):
    """A host name or zone that cannot be used; `name` is what was given."""

    exit_code = ExitCode.CONFIG

    def __init__(self, message: str, *, name: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = shortened(name)


class ConfigError(DevtlsError):
    """A configuration that cannot be used.

    `source` is the file's path or "command line", `key` the dotted key ("" for the whole file), `line` counts
    from 1 (0 = unknown).
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, message: str, *, source: str = "", key: str = "", line: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.source = shortened(source)
        self.key = shortened(key)
        self.line = line

    def __str__(self) -> str:
        place = self.source + (f":{self.line}" if self.line else "")
        parts = [part for part in (place, self.key) if part]
        return ": ".join([*parts, super().__str__()])


class NotAllowed(ConfigError):
    """A configuration file that was found by searching asks for something that needs `devtls allow`."""


class CertificateError(DevtlsError):
    """A certificate, key or CRL that is damaged, or that cannot be used for its purpose."""

    exit_code = ExitCode.STATE


class NameNotPermitted(CertificateError):
    """A name that the CA's name constraints forbid; `name` is that name."""

    def __init__(self, message: str, *, name: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = name


class WrongPassphrase(CertificateError):
    """A locked key was not opened: the passphrase is wrong, or the file was changed."""


class StateError(DevtlsError):
    """The state directory or a file in it is unsafe, unreadable or damaged; `path` names it."""

    exit_code = ExitCode.STATE

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class NoAuthority(StateError):
    """There is no CA on this machine yet."""


class Refused(DevtlsError):
    """The command refuses to run like this (under sudo; no terminal and no `--yes`)."""

    exit_code = ExitCode.REFUSED


class UnknownStore(Refused):
    """`--store` names a store that this machine does not have."""

    exit_code = ExitCode.USAGE


class UnknownMethod(Refused):
    """`--method` names a method that does not exist, or not on this machine."""

    exit_code = ExitCode.USAGE


class InvalidAddress(Refused):
    """An address that no browser opens with TLS."""

    exit_code = ExitCode.USAGE


class PortInUse(DevtlsError):
    """A port is taken; `port` is its number, `holder` the program that listens there ("" = unknown)."""

    exit_code = ExitCode.PORT_IN_USE

    def __init__(self, message: str, *, port: int = 0, holder: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.port = port
        self.holder = holder


class TrustFailed(DevtlsError):
    """Neither a browser's store nor the system's trusts the root."""

    exit_code = ExitCode.NOT_TRUSTED


class SetupFailed(DevtlsError):
    """A change that was asked for is not applied, or one that was to be reverted is."""


class NoConnection(DevtlsError):
    """The connection to a server ended before the server sent a certificate."""

    exit_code = ExitCode.NO_CONNECTION


class NotRunning(DevtlsError):
    """No `devtls serve` of this user runs."""

    exit_code = ExitCode.NOT_RUNNING


class AlreadyServed(DevtlsError):
    """A `devtls serve` of this user serves the same name or file already."""

    exit_code = ExitCode.ALREADY_SERVED


class CommandNotRun(DevtlsError):
    """A command cannot be started in the place of devtls; `code` is the shell's own exit code for that, 126 or 127."""

    def __init__(self, message: str, *, code: ExitCode = ExitCode.CANNOT_RUN, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = code


class ProtocolViolation(DevtlsError):
    """A peer's message breaks HTTP.

    `status` is the response to a client (400, 414, 417, 431, 501, 505); an upstream's fault is a 502 whatever it says.
    `summary` says the same of an app in a few words, for the log. Codecs catch it at their edge and return an event: it
    never leaves `http`.
    """

    def __init__(self, message: str, *, status: int = 400, summary: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.summary = summary


class HeadTooLarge(DevtlsError):
    """A client has said that it takes no head as large as that of an app's response; it gets a 502 in its place.

    `summary` is the reason in a few words, for the page and the log.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__("The head of the response is larger than the client takes.")
        self.summary = f"head of {size} bytes in HTTP/2, of which this client takes {limit}"


class AcmeProblem(DevtlsError):
    """An ACME request is refused (RFC 8555 6.7): it becomes a problem document and never leaves `acme`.

    `kind` is the error type without its URN, `names` are pairs of a name and the reason why it is refused, `location`
    and `retry_after_s` header fields of the response ("" and 0: none).
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        status: int = 400,
        retry_after_s: int = 0,
        names: tuple[tuple[str, str], ...] = (),
        algorithms: tuple[str, ...] = (),
        location: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s
        self.names = names
        self.algorithms = algorithms
        self.location = location


class LocalProtocolError(DevtlsError):
    """A codec was asked to send what would break the message on the wire: a bug of ours, never a peer's fault.

    Nothing was written; the connection must be closed, since its peer waits for bytes that will not come.
    """
