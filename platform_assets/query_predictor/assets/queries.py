"""query_predictor/queries and query_predictor/quarantined_queries: one UTC day of Trino's log, typed, and what was refused."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.assets.common import (
    QUARANTINED_QUERIES,
    QUERIES,
    PublishedDays,
    TrinoSourceResource,
)
from platform_assets.query_predictor.limits import Limits

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Publication
    from platform_assets.core.quality import Outcome
    from platform_assets.query_predictor.extraction import ExtractedDay
    from platform_assets.query_predictor.quality import Ids
    from platform_assets.query_predictor.sources import Source

CHECKS = (
    checks.Check("rows_reconcile", "Rows that the source gave = queries + quarantined rows + exact copies."),
    checks.Check("created_in_day", "Every query was created on this day, and did not end before that."),
    checks.Check("one_row_per_query", "No query id occurs twice in the day."),
    checks.Check(
        "no_query_in_two_days", "No query of this day is one of the earlier days that a sample may hold with it."
    ),
    checks.Check("quarantine_share", "Rows refused by a rule stay under the limit."),
    checks.Check("row_count_band", "About as many rows as on the same weekdays before.", blocking=False),
)
ID_RANGE = "query_ids"


def build(settings: Settings, limits: Limits) -> dg.AssetsDefinition:
    """The daily extraction as one step with two assets."""
    daily = partitions.trino_daily(settings)
    common_spec = {
        "group_name": common.GROUP,
        "owners": common.OWNERS,
        "kinds": {"trino", "parquet"},
        "partitions_def": daily,
    }

    @dg.multi_asset(
        name="query_predictor_queries",
        specs=[
            dg.AssetSpec(QUERIES, description=_QUERIES_DESCRIPTION, **common_spec),
            dg.AssetSpec(QUARANTINED_QUERIES, description=_QUARANTINE_DESCRIPTION, **common_spec),
        ],
        check_specs=checks.specs(QUERIES, CHECKS, daily),
        partitions_def=daily,
        # One run: a day is compared with those before it, whose manifests are read once.
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=upstream.writer_pool(settings),
    )
    def query_predictor_queries(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, trino: TrinoSourceResource
    ) -> Iterator[partitioned.Event]:
        source, earlier = trino.open(), PublishedDays(lake.open(), QUERIES, settings.trino_start)

        def produce(day: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("queries") as folder, common.source_errors():
                return _produce(context, limits, earlier, source, engine.open(), day, folder)

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return query_predictor_queries


def _overlapping(earlier: PublishedDays, day: str, ids: "Ids | None", folder: Path) -> dict[str, Path]:
    """The queries of those earlier days of a sample's window whose ids lie between the same bounds; no other shares one."""
    return {
        key: earlier.lake.fetch(revision, "queries.parquet", folder)
        for key, revision in earlier.before(day, common.WINDOW_DAYS - 1).items()
        if ids and (theirs := revision.lineage.details[ID_RANGE]) and theirs[0] <= ids[1] and ids[0] <= theirs[1]
    }


def _produce(
    context: dg.AssetExecutionContext, limits: Limits, earlier: PublishedDays, source: "Source", engine: "Engine", day: str,
    folder: Path,
) -> Sequence[partitioned.Produced]:  # fmt: skip
    from platform_assets.core.lake import Lineage
    from platform_assets.query_predictor import extraction, quality

    lake, window = earlier.lake, partitions.day_window(day)
    before = {key: lake.current(common.address(key, day)) for key in (QUERIES, QUARANTINED_QUERIES)}
    # Rows that no time of theirs gives to a day would else be nowhere.
    extracted = extraction.extract_day(source, engine, window[0].date(), folder, strays=day == earlier.first)
    ids = quality.id_range(engine, extracted.queries)
    outcomes = _outcomes(engine, extracted, day, ids, earlier, limits, folder)
    details = {"quarantined": extracted.refused, "copies": extracted.copies}
    published = {}
    for key, path, told in (
        (QUARANTINED_QUERIES, extracted.quarantined, details),
        (QUERIES, extracted.queries, {**details, ID_RANGE: list(ids or ()), "checks": to_details(outcomes)}),
    ):
        lineage = Lineage(
            source_rows=extracted.rows_read, code_version=extraction.CODE_VERSION, run_id=context.run.run_id, details=told
        )  # fmt: skip
        published[key] = lake.publish_table(common.address(key, day), {path.name: path}, lineage, expected=before[key])
    earlier.remember(day, published[QUERIES].revision)
    return _results(published[QUERIES], published[QUARANTINED_QUERIES], extracted, source.name, outcomes)


def _outcomes(
    engine: "Engine", extracted: "ExtractedDay", day: str, ids: "Ids | None", earlier: PublishedDays, limits: Limits, folder: Path
) -> "list[Outcome]":  # fmt: skip
    from platform_assets.core import quality as common_checks
    from platform_assets.query_predictor import extraction, quality

    queries, refused = extracted.queries, sum(extracted.refused.values())
    same_weekdays = earlier.before(day, 7 * limits.trailing_weeks, step=7).values()
    return [
        extraction.rows_reconcile(extracted),
        quality.created_in_day(engine, queries, partitions.day_window(day)),
        common_checks.unique(engine, "one_row_per_query", [queries], "queryId"),
        quality.no_query_in_two_days(engine, queries, _overlapping(earlier, day, ids, folder / "earlier")),
        common_checks.share_below(
            "quarantine_share", refused, extracted.rows_read, limits.quarantine_share, "rows refused by a rule"
        ),
        quality.row_count_band(extracted.kept, [revision.rows or 0 for revision in same_weekdays], limits),
    ]


def _results(
    kept: "Publication", refused: "Publication", extracted: "ExtractedDay", source: str, outcomes: "list[Outcome]"
) -> list[partitioned.Produced]:
    from platform_assets.orchestration.metadata import counts_markdown, table_metadata
    from platform_assets.query_predictor.lineage import queries_lineage

    told = {"quarantined": counts_markdown("rule", extracted.refused)}
    rows = {"source": source, "source_rows": extracted.rows_read, "copies": extracted.copies}
    metadata = {**table_metadata(kept, extracted.queries, queries_lineage()), **told, **rows}
    return [
        partitioned.Produced(QUERIES, kept, metadata, outcomes),
        partitioned.Produced(QUARANTINED_QUERIES, refused, {**table_metadata(refused, extracted.quarantined), **told}),
    ]


_QUERIES_DESCRIPTION = """One UTC day of queries by the time they were created, one row per query id, typed and ordered by creation and
id: text, user, source, catalog, schema, client, type, state, error, CPU seconds, peak memory, creation, end, hash of the text.
A day without queries is published with 0 rows. Exact copies are left out and counted."""
_QUARANTINE_DESCRIPTION = """The rows of the day that broke a rule, as JSON, each with the rule's id, what was wrong and what to do.
A line of JSON that tells no time is of the day on which the query of the line before it ended; rows of Parquet or of a table that
tell none are those of the calendar's first day. Rows of the source = rows of `query_predictor/queries` + rows
here + exact copies."""
