"""HTTP/2: bytes <-> events, for the client's side (`server`) and the upstream's (`client`). Pure.

`frames` is the wire, `hpack` the field blocks, `heads` what they mean, `streams` and `flow` what is open and what may
be sent; `endpoint` is what both sides of a connection have in common. Nothing above this package knows the version.
"""
