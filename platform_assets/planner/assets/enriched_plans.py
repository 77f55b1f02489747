"""planner/enriched_plans: the plans accepted on one day, joined to what was known when each was generated."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource, SourceResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import ENRICHED_PLANS, EVENTS
from platform_assets.planner.assets.events import CHECKS as EVENTS_CHECKS
from platform_assets.planner.assets.events import MAX_DAYS_A_RUN
from platform_assets.planner.limits import Limits

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.quality import Outcome
    from platform_assets.planner.enrichment import EnrichedDay

CHECKS = (
    checks.Check("no_leak", "No input was valid or known later than the generation time of its plan."),
    checks.Check("plans_reconcile", "Acceptances in = plans enriched + plans excluded with a reason."),
    checks.Check("one_row_per_plan", "No plan occurs twice."),
    checks.Check(
        "join_coverage", "Household, constraints and pantry were known for nearly every plan.", blocking=False
    ),
)
# A plan lives 7 days and looks back 28 more for what was accepted before it (planner/enrichment.py, held equal by a test).
LOOK_BACK_DAYS = 35


def build(settings: Settings, limits: Limits) -> dg.AssetsDefinition:
    """The daily enrichment."""
    daily = partitions.planner_daily(settings)

    @dg.asset(
        key=ENRICHED_PLANS,
        deps=[dg.AssetDep(EVENTS, partition_mapping=partitions.days_before(LOOK_BACK_DAYS))],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"postgres", "duckdb", "parquet"},
        check_specs=checks.specs(ENRICHED_PLANS, CHECKS, daily),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(MAX_DAYS_A_RUN),
        pool=upstream.writer_pool(settings),
        automation_condition=automation.days_from_days(),
    )
    def enriched_plans(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, source: SourceResource
    ) -> Iterator[partitioned.Event]:
        def produce(day: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("enriched_plans") as folder:
                look_back = partitions.days_up_to(day, LOOK_BACK_DAYS, first=settings.planner_start.isoformat())
                return [_produce(context, limits, lake, engine, source, day, look_back, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return enriched_plans


def _produce(
    context: dg.AssetExecutionContext, limits: Limits, lake_resource: LakeResource, engine_resource: EngineResource,
    source: SourceResource, day: str, look_back: Sequence[str], folder: Path,
) -> partitioned.Produced:  # fmt: skip
    from platform_assets.core.lake import Lineage
    from platform_assets.orchestration.metadata import counts_markdown, table_metadata
    from platform_assets.planner import enrichment

    lake, engine = lake_resource.open(), engine_resource.open()
    before = lake.current(common.address(ENRICHED_PLANS, day))
    events = common.require(lake, EVENTS, look_back, f"enriched_plans of {day}")
    checks.require_passed(EVENTS, day, events[day], EVENTS_CHECKS)
    files = common.fetch_all(lake, events, "events.parquet", folder)
    enriched = enrichment.enrich_day(source.open(), engine, files, partitions.day_window(day), folder)
    excluded = enrichment.count_excluded(engine, enriched.excluded)
    outcomes = _outcomes(engine, enriched, limits)
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in events.values()),
        code_version=enrichment.CODE_VERSION,
        run_id=context.run.run_id,
        details={
            "excluded": excluded,
            "generated": enrichment.count_generated(engine, files[-1]),
            "not_point_in_time": list(enriched.not_point_in_time),
            "checks": to_details(outcomes),
        },
    )
    publication = lake.publish_table(
        common.address(ENRICHED_PLANS, day),
        {"enriched_plans.parquet": enriched.enriched},
        lineage,
        side_files={"excluded_plans.parquet": enriched.excluded},
        expected=before,
    )
    metadata = {
        **table_metadata(publication, enriched.enriched, _lineage()),
        "excluded": counts_markdown("reason", excluded),
        "not_point_in_time": ", ".join(enriched.not_point_in_time) or "none",
    }
    return partitioned.Produced(ENRICHED_PLANS, publication, metadata, outcomes)


def _outcomes(engine: "Engine", day: "EnrichedDay", limits: Limits) -> "list[Outcome]":
    from platform_assets.core import quality as common_checks
    from platform_assets.planner import quality

    return [
        quality.no_leak(engine, day.enriched, day.not_point_in_time),
        quality.plans_reconcile(engine, day.accepted, day.enriched, day.excluded),
        common_checks.unique(engine, "one_row_per_plan", [day.enriched], "plan_id"),
        quality.join_coverage(engine, day.enriched, day.excluded, limits.join_coverage),
    ]


def _lineage() -> Mapping[str, Sequence[tuple[str, str]]]:
    from platform_assets.planner.lineage import enriched_plans_lineage

    return enriched_plans_lineage()


_DESCRIPTION = """One row per plan accepted that day, joined as of its generation time T to household, constraints and
pantry: a version counts iff it was valid and recorded by T. With the plans accepted before it and the user's edits in
order. Reads events of the day and 35 days back; what had to be left out is counted by reason."""
