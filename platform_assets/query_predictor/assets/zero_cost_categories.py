"""query_predictor/zero_cost_categories: which kinds of statements 37 days of the log show to be hardly ever heavy."""

from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks
from platform_assets.orchestration.weekly_assets import Made
from platform_assets.query_predictor.assets import common, weekly
from platform_assets.query_predictor.assets.common import LABELLED_QUERIES, ZERO_COST_CATEGORIES
from platform_assets.query_predictor.assets.labelled_queries import CHECKS as LABELLED_CHECKS
from platform_assets.query_predictor.assets.weekly import Week
from platform_assets.query_predictor.documented_keys import Configuration

if TYPE_CHECKING:
    from platform_assets.core.lake import Publication, Revision
    from platform_assets.core.quality import Outcome
    from platform_assets.query_predictor.zero_cost import JudgedWeek, ZeroCostCategories

CHECKS = (
    checks.Check(
        "categories_reconcile",
        "The categories hold every labelled row of the train and validation days, dropped ones too.",
    ),
    checks.Check(
        "dropped_reconcile", "Heavy queries dropped for their type are as many as the counts of all days leave."
    ),
    checks.Check(
        "zero_cost_cap", "Safe categories are surely light, and together hold at most .2 % of all heavy queries."
    ),
)


def build(settings: Settings, defaults: Configuration) -> dg.AssetsDefinition:
    """The categories of each week."""
    return weekly.asset_of_days(
        ZERO_COST_CATEGORIES,
        CHECKS,
        settings,
        defaults,
        _make,
        deps=[dg.AssetDep(LABELLED_QUERIES, partition_mapping=common.window_days())],
        description=_DESCRIPTION,
        kinds={"duckdb", "json"},
    )


def _make(week: Week) -> Made:
    from platform_assets.core import transform
    from platform_assets.core.lake import Lineage
    from platform_assets.query_predictor import sampling, zero_cost

    address = common.address(ZERO_COST_CATEGORIES, week.key)
    before = week.lake.current(address)
    splits = sampling.split_days(week.monday)
    days = common.require_labelled(week.lake, splits.days, LABELLED_CHECKS, week.configured, week.purpose)
    judged = _judge(week, days)
    found, outcomes = judged.categories, _outcomes(judged, days, splits.test)
    path = week.folder / zero_cost.NAME
    path.write_text(found.to_json(), encoding="utf-8")
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in days.values()),
        code_version=transform.code_version(Path(zero_cost.__file__), Path(sampling.__file__)),
        run_id=week.run_id,
        details={
            "safe": sorted(found.safe), "days": len(days), "judged_days": len(days.keys() - splits.test),
            "checks": to_details(outcomes),
        },
    )  # fmt: skip
    publication = week.lake.publish_files(address, {path.name: path}, lineage, expected=before)
    return Made(publication, outcomes, _metadata(publication, found))


def _judge(week: Week, days: "Mapping[date, Revision]") -> "JudgedWeek":
    from platform_assets.query_predictor import labels, sampling, zero_cost

    light, heavy, dropped = (
        common.fetch_days(week.lake, days, str(name), week.folder / "fetched")
        for name in (labels.LIGHT, labels.HEAVY, labels.DROPPED)
    )
    files = {day: zero_cost.LabelledFiles((light[day], heavy[day]), dropped[day]) for day in days}
    return zero_cost.judge_week(week.engine, files, sampling.split_days(week.monday))


def _outcomes(judged: "JudgedWeek", days: "Mapping[date, Revision]", test: Collection[date]) -> "list[Outcome]":
    from platform_assets.query_predictor import sample_quality
    from platform_assets.query_predictor.sample_quality import DayCounts

    found, counts = judged.categories, {day: DayCounts.of(each.lineage.details) for day, each in days.items()}
    return [
        sample_quality.categories_reconcile(found, [each for day, each in counts.items() if day not in test]),
        sample_quality.dropped_reconcile(found, judged.test_heavy, counts),
        sample_quality.zero_cost_cap(found),
    ]


def _metadata(publication: "Publication", found: "ZeroCostCategories") -> dict[str, object]:
    from platform_assets.orchestration.metadata import files_metadata

    rows = [
        f"| {name} | {each.queries:,} | {each.heavy:,} | {each.upper_bound:.2%} | {'yes' if each.safe else each.reason} |"
        for name, each in sorted(found.categories.items(), key=lambda item: (-item[1].queries, item[0]))
    ]
    head = ["| category | queries | heavy | heavy at most | routed without a model |", "|---|---:|---:|---:|---|"]
    return {
        **files_metadata(publication),
        "categories": dg.MetadataValue.md("\n".join([*head, *rows])),
        "safe": ", ".join(sorted(found.safe)) or "none",
        "heavy": found.heavy,
        "safe_heavy": found.safe_heavy,
        "safe_share_of_heavy_at_most": found.safe_share_upper_bound,
        "dropped_heavy": sum(sum(each.values()) for each in found.dropped_heavy.values()),
    }


_DESCRIPTION = """Counts of the statements of the week's 30 train and 7 validation days by category, dropped ones included, and which
categories the router sends on without asking a model: those whose heavy rate is surely below 1 %, as long as together they surely
hold at most .2 % of all heavy queries. The 7 test days choose nothing and show what the choice misses. Beside the categories, for
all 44 days by day, the heavy queries that are in no sample as their query type is left out. Saved with the model, asked before it
in serving."""
