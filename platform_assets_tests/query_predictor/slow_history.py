"""The historical features by their definitions, each from every row: slow and obvious."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta

from platform_assets.query_predictor.history import HistoryOptions
from platform_assets_tests.query_predictor.labelled_rows import Row

Key = tuple[str, str | None, str | None, str]


def slow_features(rows: Sequence[Row], day: date, key: Key, options: HistoryOptions) -> list[float]:
    """Each feature by its definition, from every row."""
    user, catalog, schema, template = key
    counted = [row for row in rows if is_known(row, day, options)]

    def share(found: Sequence[Row], names: Sequence[str] | None) -> float:
        def part(some: Sequence[Row]) -> int:
            return sum(row["errorName"] in names if names else row["is_heavy"] for row in some)

        if not counted:
            return math.nan
        return (part(found) + options.strength * part(counted) / len(counted)) / (len(found) + options.strength)

    def mean(values: Sequence[float]) -> float:
        return sum(map(math.log1p, values)) / len(values) if values else math.nan

    def cpu(found: Sequence[Row]) -> list[float]:
        return [row["cpuTime"] for row in found]

    def gib(found: Sequence[Row]) -> list[float]:
        return [row["peakUserMemoryBytes"] / 2**30 for row in found]

    users = [row for row in counted if row["user"] == user]
    catalogs = [row for row in counted if (row["catalog"] or "") == (catalog or "")]
    schemas = [row for row in catalogs if (row["schema"] or "") == (schema or "")]
    same = [row for row in counted if row["template"] == template]
    last = max(same, key=lambda row: (row["endTime"], row["cpuTime"]), default=None)
    return [
        math.log1p(len(users)), share(users, None), mean(cpu(users)), math.log1p(max(cpu(users), default=math.nan)),
        mean(gib(users)), share(users, options.resource_errors),
        math.log1p(len(catalogs)), share(catalogs, None), mean(cpu(catalogs)), mean(gib(catalogs)),
        math.log1p(len(schemas)), share(schemas, None), mean(cpu(schemas)),
        math.log1p(len(same)), share(same, None), math.log1p(last["cpuTime"]) if last else math.nan,
        float(not users),
    ]  # fmt: skip


def is_known(row: Row, day: date, options: HistoryOptions) -> bool:
    def by(some_day: date) -> bool:
        return row["createTime"].date() < some_day and row["endTime"] <= options.as_of(some_day)

    return by(day) and not (options.window_days and by(day - timedelta(days=options.window_days)))
