"""The notice that the CA expires: written sixty days ahead, once a day, by the wall clock.

Owns the sentence and the rhythm. Refuses to count seconds of its own: a machine that slept for weeks, or whose clock
was set, is told at the next look. Loaded after the start.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from devtls.pki.leaf import PROFILE, RENEW

_RHYTHM = timedelta(days=1)


def end_in_words(not_after: datetime, now: datetime) -> str:
    """Return a sentence when the end is near or past, else ""."""
    if not_after - now >= PROFILE.warn_before:
        return ""
    if not_after <= now:
        return f"The CA ended on {not_after:%Y-%m-%d}: nothing can be signed any more."
    days = (not_after - now).days
    return f"The CA ends on {not_after:%Y-%m-%d}, in {days} {'day' if days == 1 else 'days'}."


class EndNotice:
    """Decides when the notice is due again: remembers the last one."""

    def __init__(self) -> None:
        self._last: tuple[datetime, datetime] | None = None

    def due(self, not_after: datetime, now: datetime) -> str:
        """Return what is to be said now, "" for nothing: another CA's end and another day are news."""
        text = end_in_words(not_after, now)
        if self._last is not None:
            last_end, last_time = self._last
            # abs: a clock that was set back must not silence the notice until it has caught up.
            if last_end == not_after and abs(now - last_time) < _RHYTHM:
                return ""
        if text:
            self._last = not_after, now
            return f"{text} `{RENEW}` makes the next one, which takes over while everything goes on."
        return ""
