"""`devtls trust`, `untrust`, `env`."""
