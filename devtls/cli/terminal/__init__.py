"""Tables, rows, colours and prompts: everything that knows about terminals."""
