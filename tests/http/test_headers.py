from devtls.http.headers import connection_nominated, get, get_all, has_token, tokens

FIELDS = [
    (b"Set-Cookie", b"a=1"),
    (b"X", b""),
    (b"set-cookie", b"b=2"),
    (b"Connection", b""),
    (b"CONNECTION", b"Foo , bar"),
]


def test_get_returns_the_first_value_whatever_the_case() -> None:
    assert get(FIELDS, b"set-cookie") == b"a=1"


def test_get_tells_an_empty_value_from_a_missing_field() -> None:
    assert get(FIELDS, b"x") == b""
    assert get(FIELDS, b"y") is None


def test_get_all_keeps_the_order() -> None:
    assert get_all(FIELDS, b"set-cookie") == [b"a=1", b"b=2"]


def test_tokens_skip_empty_members_and_drop_parameters() -> None:
    assert tokens(b", Trailers;q=0.5 ,\tGZIP,,") == [b"trailers", b"gzip"]


def test_has_token_looks_at_whole_members_of_every_line() -> None:
    assert has_token(FIELDS, b"connection", b"bar")
    assert not has_token(FIELDS, b"connection", b"ba")


def test_connection_names_are_joined_over_lines_the_empty_one_included() -> None:
    assert connection_nominated(FIELDS) == {b"foo", b"bar"}
