"""The checks of customer features: what each asks of the written files, and what it says.

They read what was written, a snapshot at a time, and take nothing from the code that wrote it but the layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome, share_below
from platform_assets.world_model import snapshot_recount
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.customer_features import BLOCK, CUSTOMERS, SNAPSHOTS
from platform_assets.world_model.customer_history import HABIT, HABITS, HISTORY, SHARE_GROUPS

# Customers may have bought nothing but products that no train week has; if many did, the vectors are of other products.
WITHOUT_HISTORY_LIMIT = 0.1
# float16 keeps three digits; a group is a sum of at most 15 shares.
_ROUNDING = 0.01
_SHOWN = 10


@dataclass(frozen=True)
class Written:
    """The files, and the keys of the weeks, oldest first."""

    files: Mapping[str, Path]
    weeks: Sequence[str]

    @property
    def snapshots(self) -> NDArray[np.float16]:
        """[K, C+1, 160], memory-mapped."""
        return np.load(self.files[SNAPSHOTS], mmap_mode="r", allow_pickle=False)

    def each(self) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """The index of every snapshot's first week, and the snapshot [C+1, 160]."""
        for number in range(len(self.snapshots)):
            # Mapped anew for each: pages of those before would count as this process's memory.
            yield number * BLOCK, np.array(self.snapshots[number])

    def first_weeks(self) -> NDArray[np.int64]:
        """[C+1] the index of each one's first week; that of nobody lies behind all weeks."""
        import pyarrow.parquet as pq

        keys = pq.read_table(self.files[CUSTOMERS], columns=["first_week"])["first_week"].to_pylist()
        place = {key: number for number, key in enumerate(self.weeks)}
        return np.asarray([len(self.weeks) + BLOCK, *(place[key] for key in keys)], dtype=np.int64)


def outcomes(engine: Engine, written: Written, baskets: Sequence[Path]) -> list[Outcome]:
    """All checks; `baskets` are those of every week."""
    return [
        one_row_per_customer(written),
        population_covered(engine, written, baskets),
        snapshots_finite(written),
        nothing_before_first_visit(written),
        visits_counted(written),
        earlier_weeks_only(engine, written, baskets),
        history_covered(written),
    ]


def one_row_per_customer(written: Written) -> Outcome:
    """Customers are numbered from 1 by first week and code, none twice, and each has a row in every snapshot."""
    import pyarrow.parquet as pq

    found = pq.read_table(written.files[CUSTOMERS]).to_pydict()
    codes, keys = set(found["cust_code"]), list(zip(found["first_week"], found["cust_code"], strict=True))
    counts = {"customers": len(keys), "codes": len(codes), "rows": written.snapshots.shape[1]}
    ordered = keys == sorted(keys) and found["customer"] == list(range(1, len(keys) + 1))
    reason = "{customers} customers with {codes} codes, {rows} rows in a snapshot".format(**counts)
    passed = ordered and counts["customers"] == counts["codes"] == counts["rows"] - 1
    return Outcome("one_row_per_customer", passed, reason if ordered else f"{reason}; out of order", counts)


def population_covered(engine: Engine, written: Written, baskets: Sequence[Path]) -> Outcome:
    """The customers are those of the weeks' baskets, each from the week of the first one on."""
    found = engine.rows(
        "SELECT count(*) FILTER (WHERE c.cust_code IS NULL) AS missing, "
        "count(*) FILTER (WHERE b.cust_code IS NULL) AS strangers, "
        "count(*) FILTER (WHERE c.first_week <> b.first_week) AS other_week FROM customers AS c FULL JOIN "
        "(SELECT cust_code, CAST(CAST(date_trunc('week', min(shop_date)) AS DATE) AS VARCHAR) AS first_week FROM baskets "
        "WHERE cust_code IS NOT NULL GROUP BY 1) AS b ON b.cust_code = c.cust_code",
        {"customers": [written.files[CUSTOMERS]], "baskets": list(baskets)},
    )[0]
    reason = (
        "{missing} customers without a row, {strangers} rows without a basket, {other_week} with another first week"
    )
    return Outcome("population_covered", not any(found.values()), reason.format(**found), found)


def snapshots_finite(written: Written) -> Outcome:
    """Every number is one."""
    bad = {begin: int((~np.isfinite(snapshot)).sum()) for begin, snapshot in written.each()}
    return _by_snapshot("snapshots_finite", bad, "numbers that are not finite", "every number is finite")


def nothing_before_first_visit(written: Written) -> Outcome:
    """The row of a customer who has not come yet, and nobody's, is zero."""
    first = written.first_weeks()
    bad = {begin: int(snapshot[first >= begin].any(axis=1).sum()) for begin, snapshot in written.each()}
    reason = "every row is zero up to the block of the first visit"
    return _by_snapshot("nothing_before_first_visit", bad, "rows say something before the first visit", reason)


def visits_counted(written: Written) -> Outcome:
    """Of each customer who has come, the shares of hours, weekdays and types sum up to 1, and the first visit is in its week."""
    first, bad = written.first_weeks(), {}
    for begin, snapshot in written.each():
        known = first < begin
        habits = snapshot[known, HABIT].astype(np.float64)
        wrong = np.abs(habits[:, HABITS.index("years_since_first")] * 52 - (begin - first[known])) > _ROUNDING * begin
        for group in SHARE_GROUPS:
            wrong |= ~(np.abs(habits[:, group].sum(axis=1) - 1) <= _ROUNDING)
        bad[begin] = int(wrong.sum())
    return _by_snapshot("visits_counted", bad, "rows whose habits do not add up", "the habits of every row add up")


def earlier_weeks_only(engine: Engine, written: Written, baskets: Sequence[Path]) -> Outcome:
    """Of some returning customers, every snapshot says what the baskets of the weeks before it say, and of no later one."""
    import pyarrow.parquet as pq

    found = pq.read_table(written.files[CUSTOMERS], columns=["cust_code", "customer"]).to_pydict()
    rows = dict(zip(found["cust_code"], found["customer"], strict=True))
    again = snapshot_recount.recount(
        engine, baskets, written.snapshots, lambda code: rows.get(code, layout.NOBODY), written.weeks
    )
    counts = {"customers": again.customers, "differences": len(again.faults)}
    reason = "; ".join(again.faults[:_SHOWN]) or f"{again.customers} customers counted again, and found to be as told"
    return Outcome("earlier_weeks_only", not again.faults, reason, counts)


def history_covered(written: Written) -> Outcome:
    """Most customers of the last snapshot bought something that has a vector."""
    snapshots = written.snapshots
    known = written.first_weeks() < (len(snapshots) - 1) * BLOCK
    without = int((~snapshots[-1, known, HISTORY].any(axis=1)).sum())
    what = "customers without any product of the train weeks"
    return share_below("history_covered", without, int(known.sum()), WITHOUT_HISTORY_LIMIT, what)


def _by_snapshot(name: str, bad: Mapping[int, int], fault: str, otherwise: str) -> Outcome:
    found = {begin: count for begin, count in bad.items() if count}
    shown = ", ".join(f"{count} in that of week index {begin}" for begin, count in list(found.items())[:_SHOWN])
    return Outcome(name, not found, f"{fault}: {shown}" if found else otherwise, {"snapshots": len(bad)})
