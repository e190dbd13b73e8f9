"""TLS over memory buffers, for both sides."""
