from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devtls.daemon.expiry import EndNotice, end_in_words

END = datetime(2036, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (60 * DAY, ""),
        (60 * DAY - timedelta(seconds=1), "The CA ends on 2036-01-01, in 59 days."),
        (DAY, "The CA ends on 2036-01-01, in 1 day."),
        (DAY / 2, "The CA ends on 2036-01-01, in 0 days."),
        (0 * DAY, "The CA ended on 2036-01-01: nothing can be signed any more."),
    ],
)
def test_the_end_is_announced_sixty_days_ahead(left: timedelta, text: str) -> None:
    assert end_in_words(END, END - left) == text


def test_it_is_reported_once_a_day_by_the_clock_also_after_a_sleep_and_a_clock_that_was_set_back() -> None:
    notice, start = EndNotice(), END - 50 * DAY
    assert notice.due(END, END - 61 * DAY) == ""
    assert "in 50 days. `devtls ca renew`" in notice.due(END, start)
    assert notice.due(END, start + DAY / 2) == ""
    assert "in 30 days" in notice.due(END, start + 20 * DAY)  # it slept meanwhile
    assert "in 45 days" in notice.due(END, start + 5 * DAY)  # the clock was set back
    assert notice.due(END + 3650 * DAY, start + 5 * DAY) == ""  # another CA


def test_another_ca_that_ends_soon_is_news_at_once() -> None:
    notice = EndNotice()
    assert notice.due(END, END - DAY)
    assert notice.due(END + DAY, END - DAY)
