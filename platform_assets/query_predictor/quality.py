"""The checks of a day of queries and of its labels: what each asks of the rows, and what it says.

Each returns an Outcome; which of them block is said with the assets. What does not belong here: checks of what is made of many
days (`sample_quality`), and whether all rows are there (`extraction`, `labels`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median

from platform_assets.core.engine import Engine, Parameter
from platform_assets.core.quality import Outcome, wilson_lower_bound
from platform_assets.query_predictor.documented_keys import DataLoading
from platform_assets.query_predictor.labels import DROP_REASONS, GIB, LabelledDay
from platform_assets.query_predictor.limits import Limits

SHOWN = 10
Ids = tuple[str, str]


def created_in_day(engine: Engine, queries: Path, window: tuple[datetime, datetime]) -> Outcome:
    """Every query was created within [first, next) and ended no earlier than it was created."""
    found = engine.rows(
        "SELECT count(*) FILTER (WHERE (createTime >= p.first AND createTime < p.next) IS NOT TRUE) AS outside, "
        "count(*) FILTER (WHERE (endTime >= createTime) IS NOT TRUE) AS ended_before FROM queries, parameters AS p",
        {"queries": [queries]},
        {"first": window[0], "next": window[1]},
    )[0]
    reason = "{outside} queries of another day, {ended_before} that ended before they were created".format(**found)
    return Outcome("created_in_day", not any(found.values()), reason, found)


def id_range(engine: Engine, queries: Path) -> Ids | None:
    """The least and the greatest query id of a day; None for a day without rows."""
    found = engine.rows("SELECT min(queryId) AS least, max(queryId) AS most FROM queries", {"queries": [queries]})[0]
    return (found["least"], found["most"]) if found["least"] is not None else None


def no_query_in_two_days(engine: Engine, queries: Path, earlier: Mapping[str, Path]) -> Outcome:
    """No query of the day is one of an earlier day; `earlier` are those whose ids may be the same."""
    found = {day: _shared(engine, queries, path) for day, path in earlier.items()}
    repeated = {day: ids for day, ids in found.items() if ids}
    reason = f"also in an earlier day: {repeated}" if repeated else "no query is in an earlier day"
    return Outcome("no_query_in_two_days", not repeated, reason, {"days_compared": len(earlier)})


def row_count_band(rows: int, trailing: Sequence[int], limits: Limits) -> Outcome:
    """The day's rows against the median of the same weekdays before it. Only a warning: holidays are no fault of the data."""
    if len(trailing) < limits.least_days or not median(trailing):
        return Outcome("row_count_band", True, f"{rows} rows, {len(trailing)} such weekdays before: nothing to compare")
    middle = median(trailing)
    low, high = middle / limits.row_count_factor, middle * limits.row_count_factor
    reason = f"{rows} rows, expected {low:.0f} to {high:.0f} by the {len(trailing)} same weekdays before"
    return Outcome("row_count_band", low <= rows <= high, reason, {"rows": rows, "median": middle}, warning=True)


def labels_by_rule(engine: Engine, day: LabelledDay, rules: DataLoading) -> Outcome:
    """Told again from costs and errors alone, every kept row has its label and its reason."""
    heavy = (
        "(cpuTime >= p.cpu OR peakUserMemoryBytes > p.memory "
        "OR coalesce(list_contains(string_split(p.errors, ','), errorName), FALSE))"
    )
    rows = engine.rows(
        f"SELECT (SELECT count(*) FROM light, parameters AS p WHERE {heavy} OR heavy_reason IS NOT NULL) AS in_light, "
        f"(SELECT count(*) FROM heavy, parameters AS p WHERE NOT {heavy} OR heavy_reason IS NULL) AS in_heavy",
        {"light": [day.light], "heavy": [day.heavy]},
        _thresholds(rules),
    )[0]
    reason = "{in_light} heavy queries among the light, {in_heavy} light among the heavy".format(**rows)
    return Outcome("labels_by_rule", not any(rows.values()), reason, rows)


def drops_by_rule(engine: Engine, queries: Path, day: LabelledDay) -> Outcome:
    """Every query is kept once or dropped once, for a known reason; none that is known to be heavy is dropped as censored."""
    kept = "SELECT queryId FROM light UNION ALL SELECT queryId FROM heavy UNION ALL SELECT queryId FROM dropped"
    known = ", ".join(f"'{reason}'" for reason in DROP_REASONS)
    found = engine.rows(
        f"SELECT (SELECT count(*) FROM (SELECT queryId FROM queries EXCEPT ALL ({kept}))) AS lost, "
        f"(SELECT count(*) FROM (({kept}) EXCEPT ALL SELECT queryId FROM queries)) AS invented, "
        f"(SELECT count(*) FROM dropped WHERE (drop_reason IN ({known})) IS NOT TRUE) AS unknown_reason, "
        "(SELECT count(*) FROM dropped WHERE drop_reason = 'censored' AND is_heavy) AS heavy_and_censored",
        {"queries": [queries], "light": [day.light], "heavy": [day.heavy], "dropped": [day.dropped]},
    )[0]
    bad = {name: rows for name, rows in found.items() if rows}
    reason = f"rows that are nowhere or without reason: {bad}" if bad else f"every row has one place; {day.reasons}"
    return Outcome("drops_by_rule", not bad, reason, {**found, **day.reasons})


def heavy_share_band(day: tuple[int, int], trailing: Sequence[tuple[int, int]], limits: Limits) -> Outcome:
    """The share of heavy queries against that of the days before together, as (heavy, kept rows). Only a warning.

    A day has few heavy queries: it warns when even the share that chance leaves credible lies beyond the factor.
    """
    before, known = (sum(values) for values in zip(*trailing, strict=True)) if trailing else (0, 0)
    if len(trailing) < limits.least_days or not before or not day[1]:
        return Outcome("heavy_share_band", True, f"{day[0]} of {day[1]} heavy: nothing to compare with")
    usual = before / known
    low, high = wilson_lower_bound(day[0], day[1]), 1 - wilson_lower_bound(day[1] - day[0], day[1])
    passed = low <= usual * limits.heavy_share_factor and high >= usual / limits.heavy_share_factor
    reason = (
        f"{day[0]} of {day[1]} heavy, credibly {low:.2%} to {high:.2%}; the {len(trailing)} days before had {usual:.2%}"
    )
    return Outcome("heavy_share_band", passed, reason, {"heavy": day[0], "kept": day[1], "usual": usual}, warning=True)


def _thresholds(rules: DataLoading) -> dict[str, Parameter]:
    return {
        "cpu": float(rules.cpu_threshold_seconds),
        "memory": float(rules.memory_threshold_gb) * GIB,
        "errors": ",".join(rules.heavy_errors),
    }


def _shared(engine: Engine, queries: Path, other: Path) -> list[str]:
    sql = f"SELECT queryId FROM queries WHERE queryId IN (SELECT queryId FROM earlier) ORDER BY 1 LIMIT {SHOWN}"
    return [row["queryId"] for row in engine.rows(sql, {"queries": [queries], "earlier": [other]})]
