"""Which categories of statements are routed without a model: those that the log shows to be hardly ever heavy.

A category is safe when the upper confidence bound of its heavy rate (Clopper and Pearson 1934, one-sided) is below 1 %, and
the safe ones together may hold, again at their upper bound, .2 % of all heavy queries. A rate alone would not do: a category with
a fifth of the traffic and .9 % heavy holds 9 % of all heavy queries. The bounds take queries for independent; a template that
repeats itself says less than its count. A week's categories are judged on its train and validation days alone: the test days show
what the choice is worth. What does not belong here: telling a text's category (`categories`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.core.engine import Engine
from platform_assets.query_predictor.categories import FREE_CANDIDATES

if TYPE_CHECKING:
    from platform_assets.query_predictor.sampling import Splits

NAME = "zero_cost_categories.json"
CONFIDENCE = 0.95
RATE_LIMIT = 0.01
SHARE_LIMIT = 0.002
# The rule of three: with fewer, even no heavy query at all leaves the bound above 1 %.
LEAST_QUERIES = 300


@dataclass(frozen=True)
class CategoryCount:
    """What the days that categories are judged on hold of one."""

    queries: int
    heavy: int


@dataclass(frozen=True)
class JudgedCategory:
    """A category's counts, the upper bound of its heavy rate, and whether it is routed without a model; if not, why."""

    queries: int
    heavy: int
    upper_bound: float
    safe: bool
    reason: str = ""


@dataclass(frozen=True)
class ZeroCostCategories:
    """The judged categories: made in training, stored with the model, asked in serving."""

    categories: Mapping[str, JudgedCategory] = field(default_factory=dict)
    heavy: int = 0
    """Heavy queries of all categories, on the days that they are judged on."""
    safe_heavy: int = 0
    """Those of them in safe categories: missed, and counted as false negatives."""
    safe_share_upper_bound: float = 1.0
    """Of safe_heavy / heavy."""
    confidence: float = CONFIDENCE
    dropped_heavy: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Day (ISO) -> category -> heavy queries that are no row of any sample, as their query type is left out: where the category is
    safe the router lets them by, and whoever counts what it misses must add them. Test days are there too: nothing is judged by it."""

    @property
    def safe(self) -> frozenset[str]:
        """Names of the safe categories."""
        return frozenset(name for name, judged in self.categories.items() if judged.safe)

    @property
    def safe_share(self) -> float:
        """Share of all heavy queries that safe categories hold."""
        return self.safe_heavy / self.heavy if self.heavy else 0.0

    def dropped_heavy_on(self, days: Iterable[date], categories: Iterable[str]) -> int:
        """Heavy queries of these days and categories that no sample has."""
        wanted = set(categories)
        counts = (self.dropped_heavy.get(day.isoformat(), {}) for day in days)
        return sum(count for found in counts for name, count in found.items() if name in wanted)

    def to_json(self) -> str:
        """The file's text, the same for the same content."""
        content = {
            "confidence": self.confidence, "heavy": self.heavy, "safe_heavy": self.safe_heavy, "safe_share": self.safe_share,
            "safe_share_upper_bound": self.safe_share_upper_bound,
            "categories": {name: asdict(self.categories[name]) for name in sorted(self.categories)},
            "dropped_heavy": {day: dict(sorted(found.items())) for day, found in sorted(self.dropped_heavy.items())},
        }  # fmt: skip
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ZeroCostCategories:
        """What `to_json` wrote. Raises ValueError for another file, and for a category that may never be free."""
        try:
            content: dict[str, Any] = json.loads(text)
            categories = {name: JudgedCategory(**judged) for name, judged in content["categories"].items()}
            counts = {name: content[name] for name in ("heavy", "safe_heavy", "safe_share_upper_bound", "confidence")}
            dropped = {
                date.fromisoformat(day).isoformat(): dict(each) for day, each in content["dropped_heavy"].items()
            }
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{NAME} is not what training writes ({error!r}): take it from the model's folder"
            ) from None
        found = cls(categories, **counts, dropped_heavy=dropped)
        if wrong := found.safe - FREE_CANDIDATES:
            raise ValueError(f"{NAME} calls {sorted(wrong)} safe, which run queries: train again with this release")
        return found


@dataclass(frozen=True)
class LabelledFiles:
    """The rows of one labelled day: kept ones, and those dropped with their reasons."""

    kept: Sequence[Path]
    dropped: Path


@dataclass(frozen=True)
class JudgedWeek:
    """A week's categories, and how many heavy queries, of all categories, its test days hold: they judged nothing."""

    categories: ZeroCostCategories
    test_heavy: int


def upper_bound(heavy: int, queries: int, confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound of a rate after `heavy` of `queries` (Clopper and Pearson); 1 where nothing was seen."""
    if not 0 <= heavy <= queries:
        raise ValueError(f"{heavy} of {queries} is no count of a part")
    if heavy == queries:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(heavy + 1, queries - heavy, confidence))


def judge(
    counts: Mapping[str, CategoryCount],
    confidence: float = CONFIDENCE,
    dropped_heavy: Mapping[str, Mapping[str, int]] | None = None,
) -> ZeroCostCategories:
    """The categories, judged. Of the candidates with a low rate those with fewest heavy queries per query come first, and
    each that still leaves the whole within .2 % is taken; one that does not is passed over for the next."""
    total = sum(count.heavy for count in counts.values())
    bounds = {name: upper_bound(count.heavy, count.queries, confidence) for name, count in counts.items()}
    reasons = {name: _why_not(name, counts[name], bounds[name]) for name in counts}
    taken, missed = set[str](), 0
    candidates = [name for name, reason in reasons.items() if not reason]
    for name in sorted(
        candidates, key=lambda name: (counts[name].heavy / counts[name].queries, -counts[name].queries, name)
    ):
        share = upper_bound(missed + counts[name].heavy, total, confidence)
        if share <= SHARE_LIMIT:
            taken.add(name)
            missed += counts[name].heavy
        else:
            reasons[name] = (
                f"with it the safe categories may hold {share:.2%} of the {total} heavy queries; {SHARE_LIMIT:.1%} at most"
            )
    judged = {
        name: JudgedCategory(count.queries, count.heavy, bounds[name], name in taken, reasons[name])
        for name, count in counts.items()
    }
    share = upper_bound(missed, total, confidence) if taken else 0.0
    return ZeroCostCategories(judged, total, missed, share, confidence, dropped_heavy or {})


def judge_week(engine: Engine, days: Mapping[date, LabelledFiles], splits: Splits) -> JudgedWeek:
    """The categories as the train and validation days show them; heavy queries that no sample has are counted on every day.

    A category chosen on the test days too would be safe there by its choice, and what it lets by would be told too small.
    """
    known, test = (
        _count_days(engine, [days[day] for day in part if day in days])
        for part in ((*splits.train, *splits.validation), splits.test)
    )
    dropped = count_dropped_heavy(engine, [each.dropped for each in days.values()])
    return JudgedWeek(judge(known, dropped_heavy=dropped), sum(count.heavy for count in test.values()))


def _count_days(engine: Engine, days: Sequence[LabelledFiles]) -> dict[str, CategoryCount]:
    """Nothing where the configuration's dates leave no day of a split."""
    if not days:
        return {}
    return count_categories(engine, [path for day in days for path in day.kept], [day.dropped for day in days])


def count_categories(engine: Engine, labelled: Sequence[Path], dropped: Sequence[Path]) -> dict[str, CategoryCount]:
    """Counts over every row whose label is known, dropped ones too: censored rows have none, duplicates are counted once."""
    rows = engine.rows(
        "SELECT category, count(*) AS queries, count(*) FILTER (WHERE heavy) AS heavy FROM ("
        "SELECT category, CAST(is_heavy AS BOOLEAN) AS heavy FROM labelled UNION ALL "
        "SELECT category, CAST(is_heavy AS BOOLEAN) AS heavy FROM dropped WHERE drop_reason NOT IN ('censored', 'duplicate')"
        ") AS known GROUP BY 1 ORDER BY 1",
        {"labelled": labelled, "dropped": dropped},
    )
    return {row["category"]: CategoryCount(row["queries"], row["heavy"]) for row in rows}


def count_dropped_heavy(engine: Engine, dropped: Sequence[Path]) -> dict[str, dict[str, int]]:
    """Day -> category -> heavy queries that were dropped for their query type."""
    rows = engine.rows(
        "SELECT CAST(CAST(createTime AS DATE) AS VARCHAR) AS day, category, count(*) AS queries FROM dropped "
        "WHERE drop_reason = 'query_type' AND CAST(is_heavy AS BOOLEAN) GROUP BY 1, 2 ORDER BY 1, 2",
        {"dropped": dropped},
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["day"], {})[row["category"]] = row["queries"]
    return found


def _why_not(name: str, count: CategoryCount, bound: float) -> str:
    if name not in FREE_CANDIDATES:
        return "it runs queries: never free"
    if count.queries < LEAST_QUERIES:
        return f"{count.queries} queries say too little; {LEAST_QUERIES} at least"
    return "" if bound < RATE_LIMIT else f"up to {bound:.2%} of it may be heavy; below {RATE_LIMIT:.0%} at most"
