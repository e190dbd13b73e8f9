"""A command line in front of a redirected machine."""

from __future__ import annotations

from dataclasses import dataclass

from click.testing import CliRunner, Result

from devtls.cli.group import cli
from devtls.errors import DevtlsError, ExitCode
from tests.system.machine.small_debian import SmallDebian


@dataclass
class Desk(SmallDebian):
    """A redirected machine and the command line in front of it."""

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
