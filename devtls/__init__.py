"""devtls: a local development HTTPS proxy with a private CA done right."""

__version__ = "0.1.0"
