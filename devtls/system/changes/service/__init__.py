"""Services that start devtls by themselves, always as the user: one file per system."""
