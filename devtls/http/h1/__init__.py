"""HTTP/1.1 as bytes in and bytes out: two codecs, one for each side of the proxy (RFC 9112).

`client.H1ClientCodec` reads requests and writes responses, `upstream.H1UpstreamCodec` the other way round. Beneath
them: `fields` (field lines), `head` (start lines and where a head ends), `framing` (where a body ends), `chunked` (the
chunked coding) and `writer`.

The parser is wholly ours. A strict head parser in Python costs 2.6 us per ten-field head and httptools 1.7 us, but
httptools alone takes what a proxy must refuse (HTTP/0.9, `HTTP/2.0`, `RTSP/1.0`, doubled spaces, `,chunked`,
Content-Length 2^64-1), so it would run behind the strict parser, not instead of it: 4.3 us and two opinions about one
message. With one parser there is one opinion. httptools and h11 are the test oracles: whatever we accept or write,
they must read in the same way.
"""
