"""HTTP without input or output: bytes to events, and what a proxy does to a message.

Nothing here opens a socket, reads a clock or calls back. A codec turns bytes into `events` and events into bytes;
`forward` edits heads; `exchange` is one request's life as a table of (state, event) -> actions.
"""
