"""planner/events and planner/quarantined_events: one day of the event log, typed, and what the contract refused."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, upstream
from platform_assets.orchestration.automation import AFFECTED_DAYS
from platform_assets.orchestration.resources import EngineResource, LakeResource, SourceResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import EVENTS, QUARANTINED_EVENTS
from platform_assets.planner.limits import Limits

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake
    from platform_assets.core.quality import Outcome
    from platform_assets.planner.extraction import ExtractedDay

CHECKS = (
    checks.Check("rows_reconcile", "Rows in Postgres = rows kept + rows quarantined, re-sent ones among them."),
    checks.Check("unique_event_ids", "No event id occurs twice."),
    checks.Check("required_metadata", "Every plan event names its policy version, request and experiment variant."),
    checks.Check("quarantine_share", "Events refused by a rule stay under the limit; re-sent ones do not count."),
    checks.Check("freshness", "The source's log reaches the end of the day.", blocking=False),
)
MAX_DAYS_A_RUN = 28
PROGRESS_ROWS = 50_000


def build(settings: Settings, limits: Limits) -> dg.AssetsDefinition:
    """The daily extraction as one step with two assets."""
    daily = partitions.planner_daily(settings)
    common_spec = {
        "group_name": common.GROUP,
        "owners": common.OWNERS,
        "kinds": {"postgres", "parquet"},
        "partitions_def": daily,
    }

    @dg.multi_asset(
        name="planner_events",
        specs=[
            dg.AssetSpec(EVENTS, description=_EVENTS_DESCRIPTION, **common_spec),
            dg.AssetSpec(QUARANTINED_EVENTS, description=_QUARANTINE_DESCRIPTION, **common_spec),
        ],
        check_specs=checks.specs(EVENTS, CHECKS, daily),
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.multi_run(MAX_DAYS_A_RUN),
        pool=upstream.writer_pool(settings),
    )
    def planner_events(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, source: SourceResource
    ) -> Iterator[partitioned.Event]:
        def produce(day: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("events") as folder:
                return _produce(context, limits, lake, engine, source, day, folder)

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return planner_events


def _produce(
    context: dg.AssetExecutionContext, limits: Limits, lake_resource: LakeResource, engine_resource: EngineResource,
    source: SourceResource, day: str, folder: Path,
) -> Sequence[partitioned.Produced]:  # fmt: skip
    from platform_assets.core.lake import Lineage
    from platform_assets.orchestration.metadata import counts_markdown, table_metadata
    from platform_assets.planner import extraction

    lake, engine, window = lake_resource.open(), engine_resource.open(), partitions.day_window(day)
    before = {key: lake.current(common.address(key, day)) for key in (EVENTS, QUARANTINED_EVENTS)}
    extracted = extraction.extract_day(source.open(), engine, window, folder, _progress(context, day))
    by_rule = extraction.count_by_rule(engine, extracted.quarantined)
    outcomes = _outcomes(engine, extracted, window[1], by_rule, limits)
    published = {}
    for key, path, details in (
        (QUARANTINED_EVENTS, extracted.quarantined, {"quarantined": by_rule}),
        (EVENTS, extracted.events, {"quarantined": by_rule, "checks": to_details(outcomes)}),
    ):
        lineage = Lineage(
            source_rows=extracted.source.rows, source_watermark=extracted.source.watermark,
            code_version=extraction.CODE_VERSION, run_id=context.run.run_id, details=details,
        )  # fmt: skip
        name = f"{key.path[-1]}.parquet"
        published[key] = lake.publish_table(common.address(key, day), {name: path}, lineage, expected=before[key])
    affected = _affected_days(lake, engine, day, extracted.events, published[EVENTS].revision.digest, folder)
    return [
        partitioned.Produced(
            EVENTS,
            published[EVENTS],
            {
                **table_metadata(published[EVENTS], extracted.events),
                "source_rows": extracted.source.rows,
                "source_watermark": extracted.source.watermark or "none",
                "quarantined": counts_markdown("rule", by_rule),
                AFFECTED_DAYS: affected,
            },
            outcomes,
        ),
        partitioned.Produced(
            QUARANTINED_EVENTS,
            published[QUARANTINED_EVENTS],
            {
                **table_metadata(published[QUARANTINED_EVENTS], extracted.quarantined),
                "quarantined": counts_markdown("rule", by_rule),
            },
        ),
    ]


def _progress(context: dg.AssetExecutionContext, day: str) -> Callable[[int], None]:
    """Tells the run's log how far a large day is."""
    told = 0

    def tell(rows: int) -> None:
        nonlocal told
        if rows - told >= PROGRESS_ROWS:
            told = rows
            context.log.info(f"{day}: {rows:,} events read")

    return tell


def _outcomes(
    engine: "Engine", extracted: "ExtractedDay", day_end: datetime, by_rule: Mapping[str, int], limits: Limits
) -> "list[Outcome]":
    from platform_assets.core import quality as common_checks
    from platform_assets.planner import quality

    kept = engine.rows("SELECT count(*) AS rows FROM events", {"events": [extracted.events]})[0]["rows"]
    quarantined = sum(by_rule.values())
    return [
        quality.rows_reconcile(extracted, kept, quarantined),
        common_checks.unique(engine, "unique_event_ids", [extracted.events], "event_id"),
        quality.required_metadata(engine, extracted.events),
        quality.quarantine_share(extracted.source.rows, by_rule, limits.quarantine_share),
        quality.freshness(day_end, extracted.newest_recording, limits.source_lag),
    ]


def _affected_days(lake: "Lake", engine: "Engine", day: str, current: Path, digest: str, folder: Path) -> list[str]:
    """Which enriched days must follow: those made from other events of this day, as far as the difference reaches.

    By what their manifests say they were made from, not by what this publication changed: a run that was killed after it
    moved the pointer leaves nothing behind that would tell, and its repetition finds the digest unchanged.
    """
    from platform_assets.planner import enrichment, late_data

    following = partitions.days_after(day, enrichment.LOOK_BACK_DAYS)
    made_from: dict[str | None, set[str]] = {}
    for made, revision in common.published(lake, common.ENRICHED_PLANS, [day, *following]).items():
        used = {
            entry.partition: entry.digest for entry in revision.lineage.inputs if entry.asset == EVENTS.to_user_string()
        }
        if used.get(day) != digest:
            made_from.setdefault(used.get(day), set()).add(made)
    if not made_from:
        return []
    later = {
        key: lake.fetch(revision, "events.parquet", folder)
        for key, revision in common.published(lake, EVENTS, following).items()
    }
    affected: set[str] = set()
    for old, candidates in made_from.items():
        before = lake.fetch(lake.revision(common.address(EVENTS, day), old), "events.parquet", folder) if old else None
        affected |= candidates & set(late_data.affected_days(engine, day, before, current, later))
    return sorted(affected)


_EVENTS_DESCRIPTION = """One day (UTC, by the time things happened) of `exp.events`, typed and checked against the payload
contract. Re-sent events (same type, plan and request) are dropped: the first recorded wins. Late events arrive in the day
on which they happened, when that day is extracted again."""
_QUARANTINE_DESCRIPTION = """The rows of the day that broke a rule, each with the rule's id and the reason, and re-sent copies.
Rows in Postgres = rows of `planner/events` + rows here."""
