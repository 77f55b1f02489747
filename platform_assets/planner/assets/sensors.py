"""The planner's sensors: late events are extracted again, and what holds them is enriched again.

Thin: which days differ is a comparison of counts with manifests, which days are affected was decided by the run that
published the change (`planner.late_data`). Datasets follow by `orchestration.automation.weekly_from_days`.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

import dagster as dg

from platform_assets.core.lake import Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, partitions
from platform_assets.orchestration.resources import LakeResource, SourceResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import ENRICHED_PLANS, EVENTS


def late_data(settings: Settings, job: str) -> dg.SensorDefinition:
    """Extract the published days again whose rows in Postgres differ from what their manifest recorded.

    There is no cursor on created_at: it is set before its transaction commits, so a cursor would pass rows by. Every tick
    compares count and max(created_at) of every published day. A state of the source is requested once: a run that failed
    is not repeated until the day changes again; its alert calls a person.
    """

    @dg.sensor(
        name="planner_late_data",
        job_name=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Compares each published day with Postgres and extracts the changed ones again.",
    )
    def planner_late_data(lake: LakeResource, source: SourceResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
        changed = changed_source_days(settings, lake, source)
        for day, difference in changed.items():
            yield dg.RunRequest(run_key=f"{day}:{difference}", partition_key=day)
        if not changed:
            yield dg.SkipReason("every published day agrees with Postgres")

    return planner_late_data


def changed_source_days(settings: Settings, lake: LakeResource, source: SourceResource) -> dict[str, str]:
    """The published days that differ from Postgres, and how: rows and watermark published, rows and watermark now."""
    from platform_assets.planner import sources

    start = datetime.combine(settings.planner_start, datetime.min.time(), UTC)
    end = min(
        datetime.combine(settings.planner_end, datetime.min.time(), UTC)
        if settings.planner_end
        else datetime.max.replace(tzinfo=UTC),
        datetime.now(UTC),
    )
    days = partitions.days_in(start.date(), (end - timedelta(microseconds=1)).date())
    with source.open().snapshot() as snapshot:
        counts = sources.count_events(snapshot, start, end)
    changed = {}
    for day, revision in common.published(lake.open(), EVENTS, days).items():
        now = counts.get(day, sources.SourceCount(0, None))
        was = sources.SourceCount(revision.lineage.source_rows or 0, revision.lineage.source_watermark)
        if now != was:
            changed[day] = f"{was.rows}:{was.watermark}:{now.rows}:{now.watermark}:{revision.lineage.run_id}"
    return changed


def changed_days(settings: Settings, job: str) -> dg.SensorDefinition:
    """Enrich the days again that a change of events affects, unless they were already made from it."""

    def staleness(lake: LakeResource) -> Callable[[str, str], bool]:
        store = lake.open()

        @cache
        def current(asset: dg.AssetKey, day: str) -> Revision | None:
            return store.current(common.address(asset, day))

        def is_stale(changed_day: str, affected_day: str) -> bool:
            enriched, events = current(ENRICHED_PLANS, affected_day), current(EVENTS, changed_day)
            return enriched is not None and events is not None and events.as_input() not in enriched.lineage.inputs

        return is_stale

    return automation.follow_changes("planner_changed_days", EVENTS, job, staleness)
