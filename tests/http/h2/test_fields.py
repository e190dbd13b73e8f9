import pytest

from devtls.http.h2 import fields
from devtls.http.h2.fields import check_field


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        (b"accept", b"*/*", fields.PLAIN),
        (b"a", b"\x80\xff \t b", fields.PLAIN),
        (b"te", b"trailers", fields.PLAIN),
        (b"cookie", b"a=b", fields.COOKIE),
        (b"content-length", b"5", fields.CONTENT_LENGTH),
        (b"host", b"a", fields.HOST),
        (b"expect", b"100-continue", fields.EXPECT),
        (b"sec-websocket-key", b"k", fields.WEBSOCKET_KEY),
        (b"sec-websocket-version", b"13", fields.WEBSOCKET_VERSION),
        (b":method", b"M-SEARCH", fields.METHOD),
        (b":scheme", b"https", fields.SCHEME),
        (b":authority", b"whatever it is", fields.AUTHORITY),
        (b":path", b"/a?b%20", fields.PATH),
        (b":path", b"*", fields.PATH),
        (b":protocol", b"websocket", fields.PROTOCOL),
        (b":status", b"200", fields.STATUS),
    ],
)
def test_a_field_has_a_kind_and_a_size(name: bytes, value: bytes, kind: int) -> None:
    entry = check_field(name, value)
    assert (entry.field, entry.kind, entry.flaw) == ((name, value), kind, "")
    assert entry.size == len(name) + len(value) + 32


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        (b"Accept", b"", "lower case"),
        (b"", b"", "lower case"),
        (b"a b", b"", "lower case"),
        (b"a\n", b"", "lower case"),
        (b":other", b"", "unknown pseudo-field"),
        (b"connection", b"close", "HTTP/1.1"),
        (b"upgrade", b"h2c", "HTTP/1.1"),
        (b"cookie", b"a\nb", "control"),
        (b"a", b"\x7f", "control"),
        (b"a", b" b", "whitespace"),
        (b"host", b"b ", "whitespace"),
        (b"a", b"\t", "whitespace"),
        (b"te", b"gzip", "TE"),
        (b":method", b"a b", ":method"),
        (b":scheme", b"1", ":scheme"),
        (b":authority", b"", ":authority"),
        (b":path", b"a", ":path"),
        (b":path", b"", ":path"),
        (b":protocol", b"", ":protocol"),
        (b":status", b"20x", ":status"),
        (b":status", b"000", ":status"),
    ],
)
def test_a_malformed_field_says_why(name: bytes, value: bytes, why: str) -> None:
    entry = check_field(name, value)
    assert entry.kind == fields.MALFORMED
    assert why in entry.flaw
