"""A shell on a redirected machine: devtls is run in it."""

from __future__ import annotations

from dataclasses import dataclass

from click.testing import CliRunner, Result

from devtls.cli.group import cli
from devtls.errors import DevtlsError, ExitCode
from tests.system.machine.small_debian import SmallDebian


@dataclass
class Shell(SmallDebian):
    """A redirected machine, and devtls run on it."""

    def run(self, *arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(cli, arguments, input=answer)

    def succeed(self, *arguments: str, answer: str = "") -> Result:
        result = self.run(*arguments, answer=answer)
        assert result.exception is None or result.exit_code == 0, (result.output, result.exception)
        return result

    def fail(self, code: ExitCode, *arguments: str, answer: str = "") -> DevtlsError:
        result = self.run(*arguments, answer=answer)
        assert isinstance(result.exception, DevtlsError), (result.output, result.exception)
        assert result.exception.exit_code is code
        return result.exception
