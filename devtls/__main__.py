"""`python -m devtls` and the console script."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line; ends the process with one of `errors.ExitCode`."""
    # Importing makes no garbage, and looking for it is 5 % of the time to the first answer. `serve` begins to look when
    # it has started, the other commands before they do anything.
    gc.disable()
    try:
        from devtls.cli.entry import run

        run()
    except KeyboardInterrupt:  # Ctrl-C while modules are loaded; later ones are `run`'s
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
