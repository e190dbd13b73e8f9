"""What a running proxy writes to its terminal and log."""
