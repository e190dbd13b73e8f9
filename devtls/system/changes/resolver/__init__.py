"""How this machine's resolver learns the names of the zones: one file per way."""
