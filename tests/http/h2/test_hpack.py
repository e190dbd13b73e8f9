from devtls.http.h2.hpack import encode_field


def test_no_hop_behind_may_put_into_a_table_what_was_held_back_from_ours() -> None:
    # RFC 7541 6.2.3: what came never indexed must leave so; all literals do
    assert encode_field((b"authorization", b"secret"))[0] & 0xF0 == 0x10
    assert encode_field((b"x-token", b"secret"))[0] == 0x10
