"""The names of the zones in this machine's resolver: one file per method."""
