"""query_predictor/training_sample: 44 days of labelled queries, split by time; of the train days, rather those near a threshold."""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks
from platform_assets.orchestration.weekly_assets import Made
from platform_assets.query_predictor.assets import common, weekly
from platform_assets.query_predictor.assets.common import LABELLED_QUERIES, TRAINING_SAMPLE
from platform_assets.query_predictor.assets.labelled_queries import CHECKS as LABELLED_CHECKS
from platform_assets.query_predictor.assets.weekly import Week
from platform_assets.query_predictor.documented_keys import Configuration

if TYPE_CHECKING:
    from platform_assets.core.lake import Publication, Revision
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
    return weekly.asset_of_days(
        TRAINING_SAMPLE,
        CHECKS,
        settings,
        defaults,
        _make,
        deps=[dg.AssetDep(LABELLED_QUERIES, partition_mapping=common.window_days())],
        description=_DESCRIPTION,
        kinds={"duckdb", "parquet"},
    )


def _make(week: Week) -> Made:
    from platform_assets.core.lake import Lineage
    from platform_assets.query_predictor import configuration, sampling

    address = common.address(TRAINING_SAMPLE, week.key)
    before = week.lake.current(address)
    window = sampling.split_days(week.monday).days
    days = common.require_labelled(week.lake, window, LABELLED_CHECKS, week.configured, week.purpose)
    files = _files(week, days)
    try:
        sampled = sampling.draw_sample(week.engine, files, week.monday, week.configured, week.folder / "sample")
    except sampling.NothingToSample as error:
        raise dg.Failure(f"{week.purpose}: {error}", allow_retries=False) from error
    outcomes = _outcomes(week, sampled, files, days)
    told = configuration.to_mapping(week.configured)
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in days.values()),
        code_version=sampling.CODE_VERSION,
        run_id=week.run_id,
        details={
            "rows": sampled.report["rows"], "checks": to_details(outcomes),
            "configuration": {name: told[name] for name in ("data_loading", "boundary_sampling", "sample_fraction")},
        },
    )  # fmt: skip
    publication = week.lake.publish_table(
        address,
        {path.name: path for path in (sampled.train, sampled.validation, sampled.test)},
        lineage,
        side_files={REPORT: sampled.train.with_name(REPORT)},
        expected=before,
    )
    return Made(publication, outcomes, _metadata(publication, sampled, week.configured))


def _files(week: Week, days: "Mapping[date, Revision]") -> "dict[date, DayFiles]":
    from platform_assets.query_predictor import labels
    from platform_assets.query_predictor.sampling import DayFiles

    scratch = week.folder / "fetched"
    light, heavy = (common.fetch_days(week.lake, days, str(name), scratch) for name in (labels.LIGHT, labels.HEAVY))
    return {day: DayFiles(light[day], heavy[day]) for day in days}


def _outcomes(
    week: Week, sampled: "SampledWeek", files: "Mapping[date, DayFiles]", days: "Mapping[date, Revision]"
) -> "list[Outcome]":
    from platform_assets.query_predictor import sample_quality, sampling
    from platform_assets.query_predictor.sample_quality import DayCounts

    splits, engine = sampling.split_days(week.monday), week.engine
    made = {"train": sampled.train, "validation": sampled.validation, "test": sampled.test}
    held = {
        name: [DayCounts.of(days[day].lineage.details) for day in getattr(splits, name) if day in days] for name in made
    }
    train = [files[day] for day in splits.train if day in files]
    return [
        sample_quality.split_by_time(engine, made, splits),
        sample_quality.splits_reconcile(sampled.report, held, week.configured.sample_fraction),
        sample_quality.expected_size(engine, train, sampled.train, sampled.report, week.configured),
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
