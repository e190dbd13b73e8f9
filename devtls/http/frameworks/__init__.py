"""Frameworks of the apps: recognised by their responses, with the setting that makes them work behind a proxy."""
