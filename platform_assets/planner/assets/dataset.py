"""planner/dataset: one week of accepted plans in the documented folder, checked, profiled and registered in MLflow."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS
from platform_assets.planner.assets.enriched_plans import CHECKS as ENRICHED_CHECKS
from platform_assets.planner.assets.events import CHECKS as EVENTS_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Publication, Revision
    from platform_assets.planner.weekly import BuiltWeek

CHECKS = (
    checks.Check("minimum_rows", "Enough rows to train on (PLATFORM_PLANNER_MINIMUM_ROWS)."),
    checks.Check("required_not_null", "input.household.id and target.accepted_plan are never null."),
    checks.Check("schema_unchanged", "Same fields as the week before, or a raised schema version."),
    checks.Check("drift", "Distributions against the trailing four weeks: warns, and fails far off."),
    checks.Check("split_disjoint", "No household is both in train and in validation."),
)
EXPERIMENT = "planner_training"
TRAILING_WEEKS = 4


def build(settings: Settings) -> dg.AssetsDefinition:
    """The weekly dataset."""
    weekly = partitions.planner_weekly(settings)

    @dg.asset(
        key=DATASET,
        deps=[dg.AssetDep(key, partition_mapping=partitions.days_in_week()) for key in (ENRICHED_PLANS, EVENTS)],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"duckdb", "parquet", "mlflow"},
        check_specs=checks.specs(DATASET, CHECKS, weekly),
        partitions_def=weekly,
        # One run, in order: a week is compared with the weeks before it.
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=upstream.writer_pool(settings),
        automation_condition=automation.weekly_from_days(gates=dg.AssetSelection.assets(EVENTS)),
    )
    def dataset(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, mlflow: MlflowResource
    ) -> Iterator[partitioned.Event]:
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("dataset") as folder:
                return [_produce(context, settings, lake.open(), engine.open(), mlflow, week, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return dataset


def _produce(
    context: dg.AssetExecutionContext, settings: Settings, lake: "Lake", engine: "Engine", mlflow: MlflowResource,
    week: str, folder: Path,
) -> partitioned.Produced:  # fmt: skip
    from platform_assets.planner import weekly

    before = lake.current(common.address(DATASET, week))
    days = partitions.days_of_week(week)
    # Events first: a day that failed its check was not enriched, and the refusal names the cause, not what is missing for it.
    events = common.require(lake, EVENTS, days, f"dataset {partitions.dataset_date(week)}")
    for day in days:
        checks.require_passed(EVENTS, day, events[day], EVENTS_CHECKS)
    enriched = common.require(lake, ENRICHED_PLANS, days, f"dataset {partitions.dataset_date(week)}")
    for day in days:
        checks.require_passed(ENRICHED_PLANS, day, enriched[day], ENRICHED_CHECKS)
    oldest = partitions.trailing_weeks(week, TRAILING_WEEKS + 1)[0]
    built = weekly.build_week(
        engine,
        common.fetch_all(lake, enriched, "enriched_plans.parquet", folder),
        folder,
        name=f"{common.DATASET_MODEL}/{partitions.dataset_date(week)}",
        days=days,
        enriched_details=[revision.lineage.details for revision in enriched.values()],
        event_details=[revision.lineage.details for revision in events.values()],
        trailing=_trailing(lake, week),
        warming_up=partitions.days_between(settings.planner_start, oldest) < HISTORY_DAYS,
        minimum_rows=settings.planner_minimum_rows,
    )
    publication = _publish(lake, context.run.run_id, week, built, enriched, before)
    link = _register(context, mlflow, week, publication, built)
    return partitioned.Produced(DATASET, publication, _metadata(publication, built, week, link), built.outcomes)


# Weeks that start earlier see shorter histories than later ones: that is not drift (planner/enrichment.py, held by a test).
# A week is judged by its histories once the oldest week it is compared with has full ones.
HISTORY_DAYS = 35


def _trailing(lake: "Lake", week: str) -> list[tuple[bytes, bytes]]:
    """Profile and schema of the published weeks before this one, oldest first."""
    from platform_assets.core import dataset

    earlier = partitions.trailing_weeks(week, TRAILING_WEEKS + 1)[:-1]
    revisions = [lake.current(common.address(DATASET, key)) for key in earlier]
    return [
        (lake.read_side(revision, dataset.PROFILE), lake.read_side(revision, dataset.SCHEMA))
        for revision in revisions
        if revision is not None
    ]


def _publish(
    lake: "Lake",
    run_id: str,
    week: str,
    built: "BuiltWeek",
    enriched: "Mapping[str, Revision]",
    before: "Revision | None",
) -> "Publication":
    from platform_assets.core import dataset
    from platform_assets.core.lake import Lineage
    from platform_assets.planner import weekly

    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in enriched.values()),
        code_version=weekly.CODE_VERSION,
        run_id=run_id,
        details={
            "dataset_version": partitions.dataset_date(week),
            "checks": to_details(built.outcomes),
            "not_point_in_time": list(built.summary.not_point_in_time),
        },
    )
    return lake.publish_table(
        common.address(DATASET, week),
        {dataset.TRAINING: built.training},
        lineage,
        side_files={
            dataset.SCHEMA: dataset.schema_bytes(built.schema),
            dataset.SUMMARY: built.summary.to_markdown().encode(),
            dataset.PROFILE: built.profile.to_json().encode(),
        },
        expected=before,
        top_copies=(dataset.TRAINING, dataset.SCHEMA, dataset.SUMMARY),
    )


def _register(
    context: dg.AssetExecutionContext, mlflow: MlflowResource, week: str, publication: "Publication", built: "BuiltWeek"
) -> str:
    """One finished MLflow run for what the week's manifest says; returns its address for people.

    By the manifest's time, not by the digest alone: the same rows may come with another summary. And not by whether this
    publication moved the pointer: an earlier try may have died between its publication and its MLflow run.
    """
    from platform_assets.core import dataset
    from platform_assets.core.tracking import DatasetReference

    version, digest = partitions.dataset_date(week), publication.revision.digest
    tags = {
        "dataset_version": version, "digest": digest, "task": "dataset", "published_at": publication.revision.created_at,
    }  # fmt: skip
    if known := mlflow.finished_run(context, EXPERIMENT, week, tags):
        return mlflow.run_url(known)
    with mlflow.partition_run(context, EXPERIMENT, week, tags) as run:
        run.log_metrics({"row_count": float(publication.revision.rows or 0)})
        run.log_dataset(
            DatasetReference(
                f"{common.DATASET_MODEL}/{version}", digest, publication.revision.uri, publication.revision.rows
            ),
            "training",
        )
        for name, content in (
            (dataset.SCHEMA, dataset.schema_bytes(built.schema)),
            (dataset.SUMMARY, built.summary.to_markdown().encode()),
            *((name, picture) for name, picture in built.pictures.items()),
        ):
            path = built.training.parent / name
            path.write_bytes(content)
            run.log_file(path)
    return mlflow.run_url(run)


def _metadata(publication: "Publication", built: "BuiltWeek", week: str, link: str) -> dict[str, Any]:
    from platform_assets.core.tables import preview_markdown
    from platform_assets.orchestration.metadata import image, table_metadata
    from platform_assets.planner.lineage import dataset_lineage

    # In the order in which a person asks: what it is, how it differs from before, where its run is, then the table itself.
    return {
        "dataset_version": partitions.dataset_date(week),
        "summary": dg.MetadataValue.md(built.summary.to_markdown()),
        **{name.removesuffix(".png"): image(picture, name) for name, picture in built.pictures.items()},
        "mlflow_run": dg.MetadataValue.url(link),
        **table_metadata(publication, built.training, dataset_lineage()),
        # Three nested columns: cut short, every row would show the same beginning.
        "sample": dg.MetadataValue.md(preview_markdown(built.training, rows=3, width=500)),
    }


_DESCRIPTION = """One row per plan accepted in the week [Friday, Friday), input as of its generation, target what was
accepted and how it was edited. Lies at `datasets/planner/<end date>/` as training.parquet, schema.json and
dataset_summary.md. Refuses a week with a missing day or a failed blocking check of a day."""
