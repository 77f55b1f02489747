"""planner/recipes: the catalogue as it was known at the end of each week, for training, replay and serving as of any moment."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource, SourceResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import EVENTS, RECIPES

CHECKS = (checks.Check("recipes_readable", "There are recipes, and every version of each could be read."),)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The weekly catalogue."""
    weekly = partitions.planner_weekly(settings)

    @dg.asset(
        key=RECIPES,
        # For its time only: a week whose days are extracted has ended.
        deps=[dg.AssetDep(EVENTS, partition_mapping=partitions.days_in_week())],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"postgres", "parquet"},
        check_specs=checks.specs(RECIPES, CHECKS, weekly),
        partitions_def=weekly,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=upstream.writer_pool(settings),
        automation_condition=automation.weekly_from_days(gates=dg.AssetSelection.assets(EVENTS)),
    )
    def recipes(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, source: SourceResource
    ) -> Iterator[partitioned.Event]:
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("recipes") as folder:
                return [_produce(context, lake, source, week, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return recipes


def _produce(
    context: dg.AssetExecutionContext, lake_resource: LakeResource, source: SourceResource, week: str, folder: Path
) -> partitioned.Produced:
    from platform_assets.core.lake import Lineage
    from platform_assets.orchestration.metadata import table_metadata
    from platform_assets.planner import catalogue, recipes

    lake, where = lake_resource.open(), common.address(RECIPES, week)
    before = lake.current(where)
    _, week_end = partitions.day_window(partitions.days_of_week(week)[-1])
    extracted = recipes.extract(source.open(), week_end, folder)
    outcomes = [recipes.judge(extracted)]
    lineage = Lineage(
        source_rows=extracted.rows + len(extracted.refused), code_version=recipes.CODE_VERSION, run_id=context.run.run_id,
        details={"checks": to_details(outcomes), "refused": list(extracted.refused)},
    )  # fmt: skip
    publication = lake.publish_table(where, {catalogue.RECIPES: extracted.path}, lineage, expected=before)
    metadata = {**table_metadata(publication, extracted.path), "refused": list(extracted.refused)}
    return partitioned.Produced(RECIPES, publication, metadata, outcomes)


_DESCRIPTION = """Every version of every recipe recorded before the end of the week, with valid_from and recorded_at: which of
them a plan could know is decided as of the plan's own time."""
