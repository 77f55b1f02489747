"""The checks of what is made of a week's 44 days: zero-cost categories, and the training sample.

Each counts again, in another way than what it checks, and returns an Outcome; which of them block is said with the assets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from platform_assets.core.engine import Engine, Parameter
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor.categories import FREE_CANDIDATES
from platform_assets.query_predictor.documented_keys import Configuration
from platform_assets.query_predictor.inclusion import hash_threshold
from platform_assets.query_predictor.sampling import DayFiles, Splits
from platform_assets.query_predictor.zero_cost import RATE_LIMIT, SHARE_LIMIT, ZeroCostCategories, upper_bound

# One in two million samples lies farther off by chance.
DEVIATIONS = 5.0
# Rows without a label that counts: see `zero_cost.count_categories`.
_UNKNOWN = ("censored", "duplicate")


@dataclass(frozen=True)
class DayCounts:
    """What a labelled day's manifest says of it."""

    light: int
    heavy: int
    reasons: Mapping[str, int]

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> DayCounts:
        """From a manifest's details."""
        return cls(details["light"], details["heavy"], details["reasons"])

    @property
    def labelled(self) -> int:
        """Rows with a label that counts, kept or dropped."""
        return self.light + self.heavy + sum(rows for name, rows in self.reasons.items() if name not in _UNKNOWN)


def categories_reconcile(found: ZeroCostCategories, days: Iterable[DayCounts]) -> Outcome:
    """The categories together hold every labelled row of the days that they are judged on, dropped ones too."""
    counted, there = sum(each.queries for each in found.categories.values()), sum(day.labelled for day in days)
    heavy = sum(each.heavy for each in found.categories.values())
    passed = counted == there and heavy == found.heavy
    reason = f"{counted} queries in categories, {there} labelled; {heavy} heavy in categories, {found.heavy} in all"
    return Outcome("categories_reconcile", passed, reason, {"queries": counted, "labelled": there, "heavy": heavy})


def dropped_reconcile(found: ZeroCostCategories, test_heavy: int, days: Mapping[date, DayCounts]) -> Outcome:
    """The heavy queries that were dropped for their type are the categories' heavy ones and those of the test days less those kept,
    day by day no more than were dropped for it; those dropped as blank or curated, whose labels no manifest tells, leave that much
    room. `days` are all of the week's, test days too."""
    dropped = {date.fromisoformat(day): sum(each.values()) for day, each in found.dropped_heavy.items()}
    most = {day: counts.reasons.get("query_type", 0) for day, counts in days.items()}
    faults = [
        f"{rows} on {day} of {most.get(day, 0)} dropped" for day, rows in dropped.items() if rows > most.get(day, 0)
    ]
    there = found.heavy + test_heavy - sum(day.heavy for day in days.values())
    room = sum(day.reasons.get(name, 0) for day in days.values() for name in ("blank", "curated"))
    if not there - room <= sum(dropped.values()) <= there:
        faults.append(
            f"{sum(dropped.values())} in all, and {there} heavy queries were dropped, up to {room} not for their type"
        )
    reason = (
        "; ".join(faults) or f"{sum(dropped.values())} of {there} dropped heavy queries were dropped for their type"
    )
    return Outcome("dropped_reconcile", not faults, reason, {"dropped_heavy": sum(dropped.values())})


def zero_cost_cap(found: ZeroCostCategories) -> Outcome:
    """Safe categories run no query, are hardly ever heavy, and together hold next to none of all heavy queries, surely."""
    safe = {name: found.categories[name] for name in sorted(found.safe)}
    bounds = {name: upper_bound(each.heavy, each.queries, found.confidence) for name, each in safe.items()}
    missed = sum(each.heavy for each in safe.values())
    share = upper_bound(missed, found.heavy, found.confidence) if safe else 0.0
    faults = [f"{name} runs queries" for name in safe if name not in FREE_CANDIDATES]
    faults += [f"{name} may be heavy in {bound:.2%}" for name, bound in bounds.items() if bound >= RATE_LIMIT]
    if share > SHARE_LIMIT:
        faults.append(f"together they may hold {share:.2%} of all heavy queries, {SHARE_LIMIT:.1%} at most")
    told = f"{', '.join(safe) or 'no category'} safe, at most {share:.2%} of {found.heavy} heavy queries"
    return Outcome("zero_cost_cap", not faults, "; ".join(faults) or told, {"safe": len(safe), "share_at_most": share})


def split_by_time(engine: Engine, files: Mapping[str, Path], splits: Splits) -> Outcome:
    """The rows of train, validation and test were created within their own days, and no query is in the sample twice."""
    faults = {}
    for name, path in files.items():
        days: tuple[date, ...] = getattr(splits, name)
        rows = engine.rows(
            "SELECT count(*) AS rows FROM part, parameters AS p "
            "WHERE (createTime >= p.first AND createTime < p.next) IS NOT TRUE",
            {"part": [path]},
            {"first": days[0], "next": days[-1] + timedelta(days=1)},
        )[0]["rows"]
        if rows:
            faults[f"{name} rows of other days"] = rows
    sql = "SELECT queryId FROM sample GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 10"
    if twice := [row["queryId"] for row in engine.rows(sql, {"sample": list(files.values())})]:
        faults["more than once"] = twice
    spans = ", ".join(f"{name} {getattr(splits, name)[0]} to {getattr(splits, name)[-1]}" for name in files)
    return Outcome("split_by_time", not faults, f"{faults}" if faults else f"{spans}; no query twice")


def splits_reconcile(report: Mapping[str, Any], held: Mapping[str, Sequence[DayCounts]], fraction: float) -> Outcome:
    """Validation and test hold every kept row of their days, train every heavy one; of a fraction, as many as chance allows."""
    asked = [("train", "heavy"), *((name, label) for name in ("validation", "test") for label in ("light", "heavy"))]
    told, faults = {}, []
    for name, label in asked:
        there, rows = sum(getattr(day, label) for day in held[name]), report["rows"][name][label]
        told[f"{name} {label}"] = rows
        if abs(rows - there * fraction) > DEVIATIONS * (there * fraction * (1 - fraction)) ** 0.5:
            faults.append(f"{rows} {label} rows in {name} of {there} in its days")
    return Outcome("splits_reconcile", not faults, "; ".join(faults) or f"{told}", told)


def expected_size(
    engine: Engine, days: Iterable[DayFiles], train: Path, report: Mapping[str, Any], configuration: Configuration
) -> Outcome:
    """The probabilities of the train days' light queries, summed up anew, give the target; as many were drawn, but for chance."""
    expected, variance, light = _summed_up(engine, [day.light for day in days], report["k"], configuration)
    kept = engine.rows("SELECT count(*) AS rows FROM train WHERE NOT is_heavy", {"train": [train]})[0]["rows"]
    deviation = variance**0.5
    aimed = min(report["target"], light)
    passed = abs(kept - expected) <= DEVIATIONS * deviation + 1e-6 * light and abs(expected - aimed) <= 1e-6 * light
    reason = f"{kept} light queries drawn, {expected:.1f} +- {deviation:.1f} expected of {light}, {aimed:.1f} aimed at"
    counts = {"drawn": kept, "expected": expected, "deviation": deviation, "light": light}
    return Outcome("expected_size", passed, reason, counts)


def probabilities_in_range(engine: Engine, train: Path) -> Outcome:
    """Every row has a probability above 0 and up to 1 and a positive weight; heavy rows are there for certain."""
    found = engine.rows(
        "SELECT count(*) FILTER (WHERE (inclusion_probability > 0 AND inclusion_probability <= 1) IS NOT TRUE) AS probability, "
        "count(*) FILTER (WHERE (weight > 0 AND isfinite(weight)) IS NOT TRUE) AS weight, "
        "count(*) FILTER (WHERE is_heavy AND inclusion_probability <> 1) AS uncertain_heavy FROM train",
        {"train": [train]},
    )[0]
    bad = {name: rows for name, rows in found.items() if rows}
    return Outcome("probabilities_in_range", not bad, f"out of range: {bad}" if bad else "all in range", found)


def _summed_up(
    engine: Engine, light: Sequence[Path], k: float, configuration: Configuration
) -> tuple[float, float, int]:
    """Sum of the probabilities, its variance, and how many light queries there are to draw from."""
    options, fraction = configuration.boundary_sampling, configuration.sample_fraction
    parameters: dict[str, Parameter] = {
        "k": float(k), "boost": float(options.max_boost), "least": float(options.min_multiplier), "all_of_them": fraction >= 1,
        "salt": f"{options.seed}:", "below": hash_threshold(fraction),
    }  # fmt: skip
    weight = (
        "CASE WHEN boundary_distance < 0.5 THEN 1.0 "
        "ELSE greatest(p.least, p.boost - (p.boost - p.least) * least(boundary_distance, 1.0)) END"
    )
    found = engine.rows(
        "SELECT coalesce(sum(chance), 0.0) AS expected, coalesce(sum(chance * (1 - chance)), 0.0) AS variance, count(*) AS light "
        f"FROM (SELECT least(1.0, p.k * {weight}) AS chance FROM light, parameters AS p "
        "WHERE p.all_of_them OR substring(md5(concat(p.salt, queryId)), 17, 13) < p.below)",
        {"light": light},
        parameters,
    )[0]
    return float(found["expected"]), float(found["variance"]), found["light"]
