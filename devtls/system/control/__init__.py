"""The channel between a command and a running proxy of the same user."""
