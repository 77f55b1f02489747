"""The planner's sensors: late events are extracted and enriched again, new weeks are trained on.

Thin: which days differ is a comparison of counts with manifests, which days are affected was decided by the run that
published the change (`planner.late_data`). Datasets follow by `orchestration.automation.weekly_from_days`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.lake import Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitions, retraining
from platform_assets.orchestration.resources import LakeResource, SourceResource
from platform_assets.planner.assets import common, jobs
from platform_assets.planner.assets.common import BASE_MODEL, DATASET, ENRICHED_PLANS, EVENTS, MODEL, RECIPES
from platform_assets.planner.assets.dataset import CHECKS as DATASET_CHECKS
from platform_assets.planner.assets.model import CHECKS as MODEL_CHECKS
from platform_assets.planner.assets.model import trailing_datasets
from platform_assets.planner.assets.recipes import CHECKS as RECIPES_CHECKS

if TYPE_CHECKING:
    from platform_assets.planner.sources import SourceCount


@dataclass(frozen=True)
class Difference:
    """What a published day was made from, by which run, and what Postgres holds of it now."""

    was: "SourceCount"
    now: "SourceCount"
    run_id: str

    @property
    def emptied(self) -> bool:
        """Whether all of the day's rows are gone: an event log only grows, so this is likelier a wrong or lost database."""
        return self.was.rows > 0 and self.now.rows == 0

    @property
    def key(self) -> str:
        """One for every state of the source."""
        return f"{self.was.rows}:{self.was.watermark}:{self.now.rows}:{self.now.watermark}:{self.run_id}"


def build(settings: Settings) -> list[dg.SensorDefinition]:
    """The planner's own sensors."""
    return [
        late_data(settings, jobs.EXTRACTION),
        changed_days(settings, jobs.ENRICHMENT),
        new_weeks(settings, jobs.TRAINING),
    ]


def late_data(settings: Settings, job: str) -> dg.SensorDefinition:
    """Extract the published days again whose rows in Postgres differ from what their manifest recorded.

    There is no cursor on created_at: it is set before its transaction commits, so a cursor would pass rows by. Every tick
    compares count and max(created_at) of every published day. A state of the source is requested once: a run that failed
    is not repeated until the day changes again; its alert calls a person. A day whose rows are all gone is left as it is, so
    that a truncated or mistaken database does not empty the lake; who means it materialises the day by hand.
    """

    @dg.sensor(
        name="planner_late_data",
        job_name=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Compares each published day with Postgres and extracts the changed ones again.",
    )
    def planner_late_data(
        context: dg.SensorEvaluationContext, lake: LakeResource, source: SourceResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        changed = changed_source_days(settings, lake, source)
        emptied = sorted(day for day, difference in changed.items() if difference.emptied)
        if emptied:
            context.log.error(_EMPTIED.format(days=", ".join(emptied)))
        for day in sorted(changed.keys() - set(emptied)):
            yield dg.RunRequest(run_key=f"{day}:{changed[day].key}", partition_key=day)
        if len(emptied) == len(changed):
            agrees = "every published day agrees with Postgres"
            yield dg.SkipReason(_EMPTIED.format(days=", ".join(emptied)) if emptied else agrees)

    return planner_late_data


def changed_source_days(settings: Settings, lake: LakeResource, source: SourceResource) -> dict[str, Difference]:
    """The published days that differ from Postgres, and how."""
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
            changed[day] = Difference(was, now, revision.lineage.run_id)
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


def new_weeks(settings: Settings, job: str) -> dg.SensorDefinition:
    """Train on a new weekly dataset once it, and all that `planner/model` requires of the lake with it, passed its checks.

    A week whose model passed its checks is left as it is, whoever trained it, if it names the datasets and recipes that are
    current and model and base model were made by today's code (`code_versions`) of what is current. The code that made datasets
    and recipes, options and releases of libraries are not compared.
    """

    def reader(lake: LakeResource) -> Callable[[str], retraining.Dataset | None]:
        store = lake.open()

        @cache
        def current(asset: dg.AssetKey, week: str) -> Revision | None:
            return store.current(common.address(asset, week))

        def is_trained(week: str) -> bool:
            """Whether a model that passed was made by this code of what the week's training would read, and so was its base."""
            model = current(MODEL, week)
            if model is None:
                return False
            read_by_it = [
                *(current(DATASET, each) for each in trailing_datasets(settings, week)),
                current(RECIPES, week),
            ]
            passed = not checks.failed_blocking(model.lineage.details, MODEL_CHECKS)
            return passed and retraining.is_made_of(model, filter(None, read_by_it), current, code_versions())

        def read(week: str) -> retraining.Dataset | None:
            revision = current(DATASET, week)
            if revision is None:
                return None
            failed = tuple(checks.failed_blocking(revision.lineage.details, DATASET_CHECKS))
            others = [(DATASET, each, DATASET_CHECKS) for each in trailing_datasets(settings, week) if each != week]
            read_too = [*others, (RECIPES, week, RECIPES_CHECKS)]
            lacks = [checks.lacking(asset, key, current(asset, key), each) for asset, key, each in read_too]
            found = retraining.Dataset(revision.digest, revision.rows or 0, failed, "; ".join(filter(None, lacks)))
            return found if failed or found.waits_for else replace(found, is_trained=is_trained(week))

        return read

    policy = retraining.Policy(settings.planner_retrain_gap_weeks, settings.planner_retrain_rows)
    return retraining.retrain("planner_new_weeks", DATASET, job, policy, reader)


def code_versions() -> dict[dg.AssetKey, str]:
    """Of each asset that the training's job makes, the code version that it would record now."""
    from platform_assets.planner import base_model, training_options

    return {BASE_MODEL: base_model.CODE_VERSION, MODEL: training_options.CODE_VERSION}


_EMPTIED = (
    "Postgres holds no event any more of {days}, which were published with events: not extracted again. Is "
    "PLATFORM_SOURCE_URL the right database, and whole? If the events were deleted on purpose, materialise these days by hand"
)
