"""A runner of elevated steps for tests: the directory of temporary files is the file system that is root's alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.plan import ALREADY_ROOT

SANDBOX = Path(tempfile.gettempdir())
AS_ROOT = ProcessRunner(ALREADY_ROOT, SANDBOX)
