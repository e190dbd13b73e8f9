from devtls.http.h2.settings import TokenBucket


def test_a_token_bucket_is_spent_and_refills_with_time() -> None:
    bucket = TokenBucket(3, 2.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.5)


def test_what_is_put_into_a_token_bucket_may_exceed_its_size_and_stays() -> None:
    bucket = TokenBucket(2, 1.0)
    assert bucket.take(0.0)
    bucket.give(10, 4)
    assert [bucket.take(9.0) for _ in range(5)] == [True, True, True, True, False]


def test_a_token_bucket_never_holds_more_than_its_size() -> None:
    bucket = TokenBucket(2, 100.0)
    assert bucket.take(0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]
