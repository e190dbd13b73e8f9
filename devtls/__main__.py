"""`python -m devtls` and the console script."""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with one of `errors.ExitCode`."""
    from devtls.cli import run

    run()


if __name__ == "__main__":
    main()
