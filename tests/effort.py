"""How many examples Hypothesis tries: enough for a change while one works on it, the full number where CI asks.

Two profiles. `dev` tries 50 examples of each property, new ones each time; `ci` tries the number that the test names,
the same ones each time, so that a failure there is one that can be had again.
"""

from __future__ import annotations

import os

from hypothesis import settings

DEV_EXAMPLES = 50
CI_EXAMPLES = 100

IS_CI = bool(os.environ.get("CI"))

settings.register_profile("dev", deadline=None, max_examples=DEV_EXAMPLES)
settings.register_profile("ci", deadline=None, max_examples=CI_EXAMPLES, derandomize=True, print_blob=True)


def examples(full: int) -> int:
    """Return how many examples a test tries that takes `full` of them in CI."""
    return full if IS_CI else min(full, DEV_EXAMPLES)


def load_profile() -> None:
    """Choose the profile for this session."""
    settings.load_profile("ci" if IS_CI else "dev")
