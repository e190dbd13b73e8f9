"""Ports 443 and 80 for an unprivileged process: one file per method."""
