"""DNS for the zones of the CA: a query's bytes -> the answer's bytes, or nothing.

`zones` is the value to start from, `query` reads and checks what came, `answers` says what our names hold, `responder`
joins them and remembers answers. All but `zones` load dnspython, which a start does not wait for.
"""
