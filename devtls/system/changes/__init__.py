"""Every change that devtls makes to a machine: one engine, one record, and one package for each kind of change."""
