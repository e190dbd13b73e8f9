"""What `devtls setup` does to a machine, beyond trust: measures, one by one, each of them reversible."""
