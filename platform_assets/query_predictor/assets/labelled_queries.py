"""query_predictor/labelled_queries: one UTC day of queries with their labels, parted into light, heavy and dropped ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.assets.common import LABELLED_QUERIES, QUERIES, PublishedDays
from platform_assets.query_predictor.assets.queries import CHECKS as QUERIES_CHECKS
from platform_assets.query_predictor.documented_keys import Configuration
from platform_assets.query_predictor.limits import Limits

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Publication
    from platform_assets.core.quality import Outcome
    from platform_assets.query_predictor.labels import LabelledDay

CHECKS = (
    checks.Check("rows_reconcile", "Queries = light + heavy + dropped rows, each dropped for one counted reason."),
    checks.Check("labels_by_rule", "Told again from costs and errors, every kept row has its label."),
    checks.Check("drops_by_rule", "Every query is in one place, once; none that is known to be heavy is censored."),
    checks.Check("heavy_share_band", "About as many heavy queries as in the days before.", blocking=False),
)


def build(settings: Settings, limits: Limits, defaults: Configuration) -> dg.AssetsDefinition:
    """The daily labels."""
    daily = partitions.trino_daily(settings)

    @dg.asset(
        key=LABELLED_QUERIES,
        deps=[QUERIES],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"duckdb", "parquet"},
        config_schema=common.config_schema(defaults),
        check_specs=checks.specs(LABELLED_QUERIES, CHECKS, daily),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=upstream.writer_pool(settings),
        automation_condition=automation.weekly_from_days(),
    )
    def labelled_queries(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        configured = common.configured(context)
        earlier = PublishedDays(lake.open(), LABELLED_QUERIES, settings.trino_start)

        def produce(day: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("labelled_queries") as folder:
                return [_produce(context, earlier, engine.open(), configured, limits, day, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return labelled_queries


def _produce(
    context: dg.AssetExecutionContext, earlier: PublishedDays, engine: "Engine", configured: Configuration, limits: Limits,
    day: str, folder: Path,
) -> partitioned.Produced:  # fmt: skip
    from platform_assets.core.lake import Lineage
    from platform_assets.query_predictor import labels

    lake = earlier.lake
    before = lake.current(common.address(LABELLED_QUERIES, day))
    queries = upstream.require(lake, [common.address(QUERIES, day)], f"labelled_queries of {day}")[day]
    checks.require_passed(QUERIES, day, queries, QUERIES_CHECKS)
    rows = lake.fetch(queries, "queries.parquet", folder / "fetched")
    labelled = labels.label_day(engine, rows, configured.data_loading, folder)
    outcomes = _outcomes(engine, rows, labelled, configured, _shares(earlier, day, limits), limits)
    lineage = Lineage(
        inputs=(queries.as_input(),),
        code_version=labels.CODE_VERSION,
        run_id=context.run.run_id,
        details={
            "light": labelled.light_rows, "heavy": labelled.heavy_rows, "reasons": labelled.reasons,
            "heavy_reasons": labelled.heavy_reasons, "rules": common.labelling_rules(configured),
            "checks": to_details(outcomes),
        },
    )  # fmt: skip
    # As files: a dropped row has a column more than a kept one. Rows are in order, so that the bytes are the same again.
    files = {str(name): folder / name for name in (labels.LIGHT, labels.HEAVY, labels.DROPPED)}
    publication = lake.publish_files(common.address(LABELLED_QUERIES, day), files, lineage, expected=before)
    earlier.remember(day, publication.revision)
    return partitioned.Produced(LABELLED_QUERIES, publication, _metadata(publication, labelled), outcomes)


def _shares(earlier: PublishedDays, day: str, limits: Limits) -> list[tuple[int, int]]:
    """(heavy, kept) of each published day before."""
    found = (revision.lineage.details for revision in earlier.before(day, 7 * limits.trailing_weeks).values())
    return [(details["heavy"], details["light"] + details["heavy"]) for details in found]


def _outcomes(
    engine: "Engine", queries: Path, day: "LabelledDay", configured: Configuration, trailing: Sequence[tuple[int, int]],
    limits: Limits,
) -> "list[Outcome]":  # fmt: skip
    from platform_assets.query_predictor import labels, quality

    return [
        labels.rows_reconcile(day),
        quality.labels_by_rule(engine, day, configured.data_loading),
        quality.drops_by_rule(engine, queries, day),
        quality.heavy_share_band((day.heavy_rows, day.light_rows + day.heavy_rows), trailing, limits),
    ]


def _metadata(publication: "Publication", day: "LabelledDay") -> dict[str, object]:
    from platform_assets.orchestration.metadata import column_lineage, counts_markdown, files_metadata
    from platform_assets.query_predictor.lineage import labelled_lineage

    kept = day.light_rows + day.heavy_rows
    return {
        **files_metadata(publication),
        "dagster/row_count": kept,
        "dagster/column_lineage": column_lineage(labelled_lineage()),
        "labels": counts_markdown("label", {"light": day.light_rows, "heavy": day.heavy_rows}),
        "heavy_reasons": counts_markdown("heavy by", day.heavy_reasons),
        "dropped": counts_markdown("dropped for", day.reasons),
        "heavy_share": day.heavy_rows / kept if kept else 0.0,
        "texts": day.texts,
    }


_DESCRIPTION = """The day's queries with label (is_heavy), why heavy (cpu, memory, error), distance to the nearer threshold, template and
category. Kept rows lie in `is_heavy=false/rows.parquet` and `is_heavy=true/rows.parquet`, which any engine reads as one table
partitioned by is_heavy; all others in `dropped.parquet`, each with the first reason that applies: duplicate, blank, query_type,
curated, censored."""
