"""The split of weeks into train, validation and test, by the last week known.

Weeks of the calendar are counted, those without rows too: a missing week must not move the others. What a split is made
of, rows or baskets, does not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TRAIN, VALIDATION, TEST = "train", "validation", "test"
VALIDATION_WEEKS, TEST_WEEKS = 15, 22
LEAST_WEEKS = 1 + VALIDATION_WEEKS + TEST_WEEKS


class SplitError(ValueError):
    """There are too few weeks, or the last one is none of them; the message says how many are needed."""


@dataclass(frozen=True)
class Split:
    """Week keys of each part, oldest first; together they are every week up to the last one known."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def weeks(self) -> tuple[str, ...]:
        """All weeks, oldest first."""
        return self.train + self.validation + self.test

    def part(self, week: str) -> str:
        """Which part a week is in. Raises SplitError for a week of none."""
        for name, weeks in ((TRAIN, self.train), (VALIDATION, self.validation), (TEST, self.test)):
            if week in weeks:
                return name
        raise SplitError(f"week {week} is in no part of the split that ends with {self.test[-1]}")


def split_weeks(weeks: Sequence[str], last: str) -> Split:
    """The split as of `last`: test = the last 22 weeks up to it, validation the 15 before, train all before those.

    `weeks` are the calendar's keys, oldest first. With the 117 documented weeks: 1-80, 81-95, 96-117. Raises SplitError when
    fewer than 38 weeks end with `last`.
    """
    if last not in weeks:
        raise SplitError(
            f"week {last} is not in the calendar ({weeks[0]} to {weeks[-1]})" if weeks else "no week at all"
        )
    known = tuple(weeks[: list(weeks).index(last) + 1])
    if len(known) < LEAST_WEEKS:
        raise SplitError(
            f"{len(known)} weeks end with {last}, and a split needs {LEAST_WEEKS}: {TEST_WEEKS} of test, {VALIDATION_WEEKS} of "
            "validation, 1 of train. Take a later week, or let PLATFORM_RETAIL_START begin earlier"
        )
    first_test = len(known) - TEST_WEEKS
    first_validation = first_test - VALIDATION_WEEKS
    return Split(known[:first_validation], known[first_validation:first_test], known[first_test:])
