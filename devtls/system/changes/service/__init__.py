"""How this machine starts devtls by itself, always as the user: one file per system."""
