"""`devtls demo`."""
