"""`devtls doctor`, `check`."""
