from devtls.http.h2.budget import Budget


def test_a_budget_is_spent_and_refills_with_time() -> None:
    budget = Budget(3, 2.0)
    assert [budget.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not budget.take(100.4)
    assert budget.take(100.5)
    assert not budget.take(100.5)


def test_a_budget_never_holds_more_than_its_size() -> None:
    budget = Budget(2, 100.0)
    assert budget.take(0.0)
    assert [budget.take(1000.0) for _ in range(3)] == [True, True, False]
