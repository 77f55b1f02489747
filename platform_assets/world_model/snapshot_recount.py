"""Whether customers' snapshots know earlier weeks alone: some returning customers, counted again from the baskets.

Of a customer who has come before, the other checks see no difference between a snapshot and one that looks a week too far. So
the habits that follow exactly from whole numbers are made here a second time, by nothing but dates and counts of the baskets
before each snapshot, and compared. It takes nothing from the code that writes them but the layout.

K snapshots, H columns of HABITS.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.engine import Engine
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.customer_history import HABIT, HABITS

# Drawn by a hash of their codes: the same ones whoever counts, and in whatever order rows come.
MOST_CUSTOMERS = 200
RECOUNTED = ("log_trips", "log_items", "years_since_last", "years_since_first")
COLUMNS = [HABIT.start + HABITS.index(name) for name in RECOUNTED]
# Half of float16's last digit, and a little: one trip more stands out up to some 250 of them.
_ROUNDING = 1.01 * 2.0**-11
_VISITS = f"""
WITH visits AS (
    SELECT cust_code, DATE_TRUNC('week', shop_date) AS week, num_items FROM baskets WHERE cust_code IS NOT NULL
), drawn AS (
    SELECT cust_code FROM visits GROUP BY cust_code HAVING MIN(week) < MAX(week) ORDER BY MD5(cust_code) LIMIT {MOST_CUSTOMERS}
)
SELECT cust_code, CAST(CAST(week AS DATE) AS VARCHAR) AS week, COUNT(*) AS trips, CAST(SUM(num_items) AS BIGINT) AS items
FROM visits WHERE cust_code IN (SELECT cust_code FROM drawn) GROUP BY cust_code, week ORDER BY cust_code, week
"""


@dataclass(frozen=True)
class Recount:
    """How many customers were counted again, and a sentence for each number that is another one."""

    customers: int
    faults: list[str]


def recount(
    engine: Engine, baskets: Sequence[Path], snapshots: NDArray[np.float16], index_of: Callable[[str], int], weeks: Sequence[str]
) -> Recount:  # fmt: skip
    """What snapshots say, beside what the baskets before them do.

    `baskets` are those of all `weeks` (keys, oldest first), `index_of` a customer's row in the snapshots [K, C+1, 160].
    """
    codes, expected = _expected(engine, baskets, len(snapshots), weeks)
    rows = [index_of(code) for code in codes]
    found = []
    for number, of_customers in enumerate(expected):
        stored = np.asarray(snapshots[number][rows])[:, COLUMNS].astype(np.float64)
        found += _differences(number, codes, stored, of_customers, weeks)
    return Recount(len(codes), found)


def _expected(
    engine: Engine, baskets: Sequence[Path], snapshots: int, weeks: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Codes of the drawn customers who came in two weeks or more, and [K, customers, H] what snapshots should say of them."""
    visits = engine.query(_VISITS, {"baskets": list(baskets)}).to_pydict()
    codes, firsts = np.unique(np.asarray(visits["cust_code"], dtype=object), return_index=True)
    places = {week: number for number, week in enumerate(weeks)}
    came = np.asarray([places[week] for week in visits["week"]], dtype=np.int64)
    counts = np.asarray([visits["trips"], visits["items"]], dtype=np.int64).T
    begins = layout.WEEKS_OF_SNAPSHOT * np.arange(snapshots)
    edges = [*firsts.tolist(), len(came)]
    each = [_habits(came[a:b], counts[a:b], begins) for a, b in itertools.pairwise(edges)]
    return codes.tolist(), np.stack(each, 1) if each else np.zeros((snapshots, 0, len(RECOUNTED)))


def _habits(came: NDArray[np.int64], counts: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.float64]:
    """[K, H] of one customer: weeks of the visits, rising, [weeks, 2] trips and items in each; zero before the first visit."""
    before = np.searchsorted(came, begins)
    sums = np.concatenate([np.zeros((1, 2), np.int64), counts.cumsum(0)])[before]
    since = (begins - came[before - 1], begins - came[0])
    habits = np.column_stack([np.log1p(sums), *(weeks / 52 for weeks in since)])
    return np.where(before[:, None] > 0, habits, 0.0)


def _differences(
    number: int, codes: Sequence[str], stored: NDArray[np.float64], expected: NDArray[np.float64], weeks: Sequence[str]
) -> Iterator[str]:
    same = np.isclose(stored, expected, rtol=_ROUNDING, atol=1e-6, equal_nan=True)
    begin = weeks[number * layout.WEEKS_OF_SNAPSHOT]
    for row, column in np.argwhere(~same):
        yield (
            f"customer {codes[row]} in snapshot {number}: {RECOUNTED[column]} is {stored[row, column]:.4f}, and by the baskets "
            f"before {begin} {expected[row, column]:.4f}"
        )
