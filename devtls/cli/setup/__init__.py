"""`devtls setup`, `unsetup`, `uninstall`, `service`."""
