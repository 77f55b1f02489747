"""query_predictor/zero_cost_categories: which kinds of statements the log of 44 days shows to be hardly ever heavy."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.assets.common import LABELLED_QUERIES, ZERO_COST_CATEGORIES
from platform_assets.query_predictor.assets.labelled_queries import CHECKS as LABELLED_CHECKS
from platform_assets.query_predictor.configuration import Configuration

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Publication, Revision
    from platform_assets.query_predictor.zero_cost import ZeroCostCategories

CHECKS = (
    checks.Check("categories_reconcile", "The categories hold every labelled row of the days, dropped ones too."),
    checks.Check(
        "zero_cost_cap", "Safe categories are surely light, and together hold at most .2 % of all heavy queries."
    ),
)


def build(settings: Settings, defaults: Configuration) -> dg.AssetsDefinition:
    """The categories of each week."""
    known = common.known_weekly(settings)

    @dg.asset(
        key=ZERO_COST_CATEGORIES,
        deps=[dg.AssetDep(LABELLED_QUERIES, partition_mapping=common.window_days())],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"duckdb", "json"},
        config_schema=common.config_schema(defaults),
        check_specs=checks.specs(ZERO_COST_CATEGORIES, CHECKS, known),
        partitions_def=known,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.writer_pool(settings),
    )
    def zero_cost_categories(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        configured = common.configured(context)

        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("zero_cost_categories") as folder:
                return [_produce(context, lake.open(), engine.open(), configured, week, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return zero_cost_categories


def _produce(
    context: dg.AssetExecutionContext,
    lake: "Lake",
    engine: "Engine",
    configured: Configuration,
    week: str,
    folder: Path,
) -> partitioned.Produced:
    from platform_assets.core import transform
    from platform_assets.core.lake import Lineage
    from platform_assets.query_predictor import sample_quality, sampling, zero_cost
    from platform_assets.query_predictor.sample_quality import DayCounts

    before = lake.current(common.address(ZERO_COST_CATEGORIES, week))
    window = sampling.split_days(common.first_day(week)).days
    days = common.require_labelled(lake, window, LABELLED_CHECKS, configured, f"zero_cost_categories of {week}")
    found = _judge(lake, engine, days, folder / "fetched")
    outcomes = [
        sample_quality.categories_reconcile(found, [DayCounts.of(day.lineage.details) for day in days.values()]),
        sample_quality.zero_cost_cap(found),
    ]
    path = folder / zero_cost.NAME
    path.write_text(found.to_json(), encoding="utf-8")
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in days.values()),
        code_version=transform.code_version(Path(zero_cost.__file__)),
        run_id=context.run.run_id,
        details={"safe": sorted(found.safe), "days": len(days), "checks": to_details(outcomes)},
    )
    address = common.address(ZERO_COST_CATEGORIES, week)
    publication = lake.publish_files(address, {path.name: path}, lineage, expected=before)
    return partitioned.Produced(ZERO_COST_CATEGORIES, publication, _metadata(publication, found), outcomes)


def _judge(lake: "Lake", engine: "Engine", days: "Mapping[date, Revision]", scratch: Path) -> "ZeroCostCategories":
    from platform_assets.query_predictor import labels, zero_cost

    light, heavy, dropped = (
        list(common.fetch_days(lake, days, str(name), scratch).values())
        for name in (labels.LIGHT, labels.HEAVY, labels.DROPPED)
    )
    return zero_cost.judge(zero_cost.count_categories(engine, [*light, *heavy], dropped))


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
    }


_DESCRIPTION = """Counts of the statements of the 44 days up to the week's Sunday by category, dropped ones included, and which categories
the router sends on without asking a model: those whose heavy rate is surely below 1 %, as long as together they surely hold at most
.2 % of all heavy queries. Saved with the model, asked before it in serving."""
