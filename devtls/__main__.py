"""`python -m devtls` and the console script."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line; ends the process with one of `errors.ExitCode`."""
    # Importing makes no garbage, and looking for it is 5 % of the time to the first answer. `serve` begins to look when
    # it has started, the other commands before they do anything.
    gc.disable()
    _open_standard_streams()
    try:
        from devtls.cli.entry import run

        run()
    except KeyboardInterrupt:  # Ctrl-C while modules are loaded; later ones are `run`'s
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)


def _open_standard_streams() -> None:
    """Open /dev/null in the place of each standard stream that the caller has closed (`2>&-`).

    Else the first file or socket that is opened becomes descriptor 2, and messages are written into it; and Python's
    `sys.stderr` is None, which no writer expects.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the one that is missing (open(2)); programs that we start have it, too.
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


if __name__ == "__main__":
    main()
