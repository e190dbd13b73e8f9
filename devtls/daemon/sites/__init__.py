"""The endpoints that a running proxy serves itself, beside its routes."""
