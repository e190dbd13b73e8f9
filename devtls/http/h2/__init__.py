"""HTTP/2 as bytes in and bytes out: two codecs, one for each side of the proxy (RFC 9113). Pure.

`client.H2ClientCodec` reads requests and writes responses, `upstream.H2UpstreamCodec` the other way round. Beneath
them: `frames` (the wire), `hpack` with `huffman` and `fields` (field blocks), `heads` (the meaning of field blocks),
`streams` (the record of a stream), `outgoing`, `settings` and `endpoint` (what both sides have in common). Nothing
above this package knows the version.
"""
