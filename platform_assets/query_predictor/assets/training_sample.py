"""query_predictor/training_sample: 44 days of labelled queries, split by time; of the train days, rather those near a threshold."""

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
from platform_assets.query_predictor.assets.common import LABELLED_QUERIES, TRAINING_SAMPLE
from platform_assets.query_predictor.assets.labelled_queries import CHECKS as LABELLED_CHECKS
from platform_assets.query_predictor.configuration import Configuration

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Publication, Revision
    from platform_assets.core.quality import Outcome
    from platform_assets.query_predictor.sampling import DayFiles, SampledWeek

CHECKS = (
    checks.Check("split_by_time", "Each split holds its own days; no query is in two of them, nor twice in one."),
    checks.Check("splits_reconcile", "Validation and test are as they come; train has every heavy query of its days."),
    checks.Check("expected_size", "The probabilities sum up to the target, and as many were drawn, but for chance."),
    checks.Check("probabilities_in_range", "Probabilities lie above 0 and up to 1, weights are positive."),
)
REPORT = "sampling.json"


def build(settings: Settings, defaults: Configuration) -> dg.AssetsDefinition:
    """The sample of each week."""
    known = common.known_weekly(settings)

    @dg.asset(
        key=TRAINING_SAMPLE,
        deps=[dg.AssetDep(LABELLED_QUERIES, partition_mapping=common.window_days())],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"duckdb", "parquet"},
        config_schema=common.config_schema(defaults),
        check_specs=checks.specs(TRAINING_SAMPLE, CHECKS, known),
        partitions_def=known,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.writer_pool(settings),
    )
    def training_sample(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        configured = common.configured(context)

        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("training_sample") as folder:
                return [_produce(context, lake.open(), engine.open(), configured, week, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return training_sample


def _produce(
    context: dg.AssetExecutionContext,
    lake: "Lake",
    engine: "Engine",
    configured: Configuration,
    week: str,
    folder: Path,
) -> partitioned.Produced:
    from platform_assets.core.lake import Lineage
    from platform_assets.query_predictor import configuration, sampling

    before, monday = lake.current(common.address(TRAINING_SAMPLE, week)), common.first_day(week)
    window = sampling.split_days(monday).days
    days = common.require_labelled(lake, window, LABELLED_CHECKS, configured, f"training_sample of {week}")
    files = _files(lake, days, folder / "fetched")
    try:
        sampled = sampling.draw_sample(engine, files, monday, configured, folder / "sample")
    except sampling.NothingToSample as error:
        raise dg.Failure(f"training_sample of {week}: {error}", allow_retries=False) from error
    outcomes = _outcomes(engine, sampled, files, days, configured, monday)
    told = configuration.to_mapping(configured)
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in days.values()),
        code_version=sampling.CODE_VERSION,
        run_id=context.run.run_id,
        details={
            "rows": sampled.report["rows"], "checks": to_details(outcomes),
            "configuration": {name: told[name] for name in ("data_loading", "boundary_sampling", "sample_fraction")},
        },
    )  # fmt: skip
    publication = lake.publish_table(
        common.address(TRAINING_SAMPLE, week),
        {path.name: path for path in (sampled.train, sampled.validation, sampled.test)},
        lineage,
        side_files={REPORT: sampled.train.with_name(REPORT)},
        expected=before,
    )
    return partitioned.Produced(TRAINING_SAMPLE, publication, _metadata(publication, sampled, configured), outcomes)


def _files(lake: "Lake", days: "Mapping[date, Revision]", scratch: Path) -> "dict[date, DayFiles]":
    from platform_assets.query_predictor import labels
    from platform_assets.query_predictor.sampling import DayFiles

    light, heavy = (common.fetch_days(lake, days, str(name), scratch) for name in (labels.LIGHT, labels.HEAVY))
    return {day: DayFiles(light[day], heavy[day]) for day in days}


def _outcomes(
    engine: "Engine", sampled: "SampledWeek", files: "Mapping[date, DayFiles]", days: "Mapping[date, Revision]",
    configured: Configuration, monday: date,
) -> "list[Outcome]":  # fmt: skip
    from platform_assets.query_predictor import sample_quality, sampling
    from platform_assets.query_predictor.sample_quality import DayCounts

    splits = sampling.split_days(monday)
    made = {"train": sampled.train, "validation": sampled.validation, "test": sampled.test}
    held = {
        name: [DayCounts.of(days[day].lineage.details) for day in getattr(splits, name) if day in days] for name in made
    }
    train = [files[day] for day in splits.train if day in files]
    return [
        sample_quality.split_by_time(engine, made, splits),
        sample_quality.splits_reconcile(sampled.report, held, configured.sample_fraction),
        sample_quality.expected_size(engine, train, sampled.train, sampled.report, configured),
        sample_quality.probabilities_in_range(engine, sampled.train),
    ]


def _metadata(publication: "Publication", sampled: "SampledWeek", configured: Configuration) -> dict[str, object]:
    from platform_assets.orchestration.metadata import counts_markdown, image, table_metadata
    from platform_assets.query_predictor import sampling_plots
    from platform_assets.query_predictor.lineage import sample_lineage

    report = sampled.report
    rows: Mapping[str, Mapping[str, int]] = report["rows"]  # pyright: ignore[reportAssignmentType] - JSON
    counts = {f"{split} {label}": count for split, found in rows.items() for label, count in found.items()}
    picture = sampling_plots.inclusion(sampled.train, report, configured.boundary_sampling)
    return {
        **table_metadata(publication, sampled.train, sample_lineage()),
        "splits": counts_markdown("split", counts),
        "inclusion probability by distance": image(picture, "inclusion probability by distance"),
        "rows by split": image(sampling_plots.rows_by_split(report), "rows by split"),
        "sampling": dg.MetadataValue.json(report),
    }


_DESCRIPTION = """The 44 days up to the week's Sunday, split by time before anything is drawn: 30 train, 7 validation, 7 test days. Validation
and test stay as they come. Train has every heavy query and, for each, about five light ones, likelier the nearer they are to a
threshold; each row has its inclusion_probability and a weight that makes metrics speak of the queries as they come.
`sampling.json` tells k, target and counts."""
