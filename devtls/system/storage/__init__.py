"""The state directory: the generations of the CA, its register, allowlist, configuration files."""
