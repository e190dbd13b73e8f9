"""`devtls ca` and its subcommands."""
