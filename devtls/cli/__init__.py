"""The command line: a package per subject, and `terminal` for everything that a terminal shows."""
