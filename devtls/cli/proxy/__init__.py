"""`devtls serve`, `status`, `list`, `add`, `remove`, `reload`, `stop`, `pac`, `allow`."""
