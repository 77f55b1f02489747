"""query_predictor/features: a week's sample as arrays, each row with the history that serving would have held on its day."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks
from platform_assets.orchestration.weekly_assets import Made
from platform_assets.query_predictor.assets import common, weekly
from platform_assets.query_predictor.assets.common import (
    FEATURES,
    LABELLED_QUERIES,
    TRAINING_SAMPLE,
    ZERO_COST_CATEGORIES,
)
from platform_assets.query_predictor.assets.feature_inputs import FeatureInputs, history_options, read_inputs
from platform_assets.query_predictor.assets.weekly import Week
from platform_assets.query_predictor.documented_keys import Configuration
from platform_assets.query_predictor.limits import Limits

if TYPE_CHECKING:
    from platform_assets.core.lake import Publication, Revision
    from platform_assets.core.quality import Outcome
    from platform_assets.query_predictor.feature_sets import BuiltFeatures
    from platform_assets.query_predictor.trained_features import Compared

CHECKS = (
    checks.Check("splits_reconcile", "Each split has the rows of the sample, one for one."),
    checks.Check(
        "served_rows_are_training_rows",
        "Rows made again by the served way, with their day's snapshot, are the same bits.",
    ),
    checks.Check("vocabulary_of_train", "The terms and their weights are those of train texts alone."),
    checks.Check("parse_fallbacks", "The parser read all but few of the queries as they come.", blocking=False),
    checks.Check(
        "feature_drift", "The newest days are as those that the newest earlier model was trained on.", blocking=False
    ),
)


def build(settings: Settings, limits: Limits, defaults: Configuration) -> dg.AssetsDefinition:
    """The features of each week."""
    days = common.window_days(before=defaults.features.history_window_days)
    return weekly.asset_of_days(
        FEATURES,
        CHECKS,
        settings,
        defaults,
        partial(_make, settings, limits),
        # The categories are not read for a number; a week that has features is one that a model can be trained on.
        deps=[dg.AssetDep(LABELLED_QUERIES, partition_mapping=days), TRAINING_SAMPLE, ZERO_COST_CATEGORIES],
        description=_DESCRIPTION,
        kinds={"numpy", "parquet"},
    )


def _make(settings: Settings, limits: Limits, week: Week) -> Made:
    from platform_assets.core.folders import files_of
    from platform_assets.core.lake import Lineage
    from platform_assets.query_predictor import configuration, feature_sets, trained_features
    from platform_assets.query_predictor.split_features import read_split

    address = common.address(FEATURES, week.key)
    before = week.lake.current(address)
    read = read_inputs(settings, week)
    built = _build(week, read)
    test, earlier = read_split(built.folder, "test"), common.known_weeks_before(settings, week.key)
    drift = trained_features.compare(week.lake, earlier, test, week.folder / "reference", _is_sound)
    outcomes, rows = _outcomes(week, read, built, limits)
    outcomes.append(drift.outcome)
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in read.revisions),
        code_version=feature_sets.CODE_VERSION,
        run_id=week.run_id,
        details={
            "rows": {split: sum(each.values()) for split, each in rows.items()},
            "heavy": {split: each["heavy"] for split, each in rows.items()},
            "report": built.report, "checks": to_details(outcomes), "drift": drift.document,
            "configuration": configuration.to_mapping(week.configured)["features"],
        },
    )  # fmt: skip
    publication = week.lake.publish_files(address, files_of(built.folder), lineage, expected=before)
    return Made(publication, outcomes, _metadata(publication, built, rows, drift))


def _is_sound(model: "Revision") -> bool:
    # Its module asks for this one's checks.
    from platform_assets.query_predictor.assets.model import CHECKS as MODEL_CHECKS

    return not checks.failed_blocking(model.lineage.details, MODEL_CHECKS)


def _build(week: Week, read: FeatureInputs) -> "BuiltFeatures":
    from platform_assets.query_predictor import feature_sets
    from platform_assets.training.threads import free_cores

    return feature_sets.build(
        week.engine, week.monday, read.sample_folder, read.labelled_files, week.folder / "features",
        week.configured.features.tfidf_vocab_size, history_options(week.configured), free_cores(),
    )  # fmt: skip


def _outcomes(
    week: Week, read: FeatureInputs, built: "BuiltFeatures", limits: Limits
) -> "tuple[list[Outcome], dict[str, dict[str, int]]]":
    """And rows by split and label."""
    from platform_assets.query_predictor import feature_quality, parity

    counted = read.sample.lineage.details["rows"]
    reconciled, rows = feature_quality.splits_reconcile(week.engine, built.folder, read.sample_folder, counted)
    return [
        reconciled,
        parity.check(week.engine, built.folder, read.labelled_files, seed=week.monday.toordinal()),
        feature_quality.vocabulary_of_train(built.folder, read.sample_folder / "train.parquet"),
        feature_quality.parse_fallbacks(built.report, limits.parse_fallback_share),
    ], rows


def _metadata(
    publication: "Publication", built: "BuiltFeatures", rows: Mapping[str, Mapping[str, int]], drift: "Compared"
) -> dict[str, Any]:
    from platform_assets.orchestration.metadata import counts_markdown, files_metadata, image
    from platform_assets.query_predictor.features import BASE_FEATURES, HISTORICAL_FEATURES

    report = built.report
    columns = [
        dg.TableColumn(each.name, "float32", f"{each.definition} Unit: {each.unit}.")
        for each in (*BASE_FEATURES, *HISTORICAL_FEATURES)
    ]
    counts = {f"{split} {label}": count for split, each in rows.items() for label, count in each.items()}
    picture = {"feature_drift": image(drift.picture, "feature drift")} if drift.picture else {}
    return {
        **files_metadata(publication),
        "dagster/row_count": sum(counts.values()),
        "dagster/column_schema": dg.TableSchema(columns),
        "splits": counts_markdown("split", counts),
        "texts": counts_markdown("text read as", report["texts"]),
        "terms": report["terms"],
        "history_keys": counts_markdown("history of", report["history_keys"]),
        "history_queries": report["history_queries"],
        "history_as_of": report["history_as_of"],
        "drift": dg.MetadataValue.json(drift.document),
        **picture,
    }


_DESCRIPTION = """The sample's train, validation and test rows as arrays: 78 base features and 17 of history (float32), TF-IDF terms
of a vocabulary that train texts make (`tfidf.json`), labels and weights. A row sees the history that serving would have held at 00:00
UTC of its day; `history/` is the snapshot of the day after the week, stored with the model; `features.json` names the week and the 95
columns: features of a release with others are refused. Training and serving make a row by the same code, which a check compares bit
by bit."""
