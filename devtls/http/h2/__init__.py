"""HTTP/2: bytes <-> events, for the client's side (`server`) and the upstream's (`client`). Pure.

`frames` is the wire, `hpack` the field blocks (with `huffman` and `fields`), `heads` what they mean, `streams` what is
open and `budget` what a peer may waste; `endpoint` is what both sides of a connection have in common. Nothing above
this package knows the version.
"""
