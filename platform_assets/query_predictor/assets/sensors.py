"""The query predictor's sensor: it trains when enough new weeks of features have arrived, and at once when they drifted.

Thin: when a training is due is `orchestration.retraining`'s business, what counts as drift `feature_drift`'s. Replay and verdict
follow by their automation condition.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import dagster as dg

from platform_assets.core.lake import Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, retraining
from platform_assets.orchestration.resources import LakeResource
from platform_assets.query_predictor.assets import common, jobs
from platform_assets.query_predictor.assets.common import FEATURES, MODEL, ZERO_COST_CATEGORIES
from platform_assets.query_predictor.assets.features import CHECKS as FEATURES_CHECKS
from platform_assets.query_predictor.assets.model import CHECKS as MODEL_CHECKS
from platform_assets.query_predictor.assets.zero_cost_categories import CHECKS as CATEGORIES_CHECKS

SHOWN = 5


def build(settings: Settings) -> list[dg.SensorDefinition]:
    """The query predictor's own sensors."""
    return [new_weeks(settings, jobs.TRAINING)]


def new_weeks(settings: Settings, job: str) -> dg.SensorDefinition:
    """Train on a week's features, PLATFORM_TRINO_RETRAIN_WEEKS after the training before it.

    At once where they drifted from what the newest model was trained on, or cannot be compared with it.

    Once the week's zero-cost categories passed their checks too. Of several such weeks the newest alone: each holds the 44 days
    up to it, and nobody wants a model of each week of a backfill. The runs take PLATFORM_TRINO_TRAINING_OPTIONS. A week whose
    model passed its checks is left as it is, whoever trained it, if it was made by today's code of the features and categories
    that are current; options and releases of libraries are not compared.
    """

    def reader(lake: LakeResource) -> Callable[[str], retraining.Dataset | None]:
        store = lake.open()

        @cache
        def current(asset: dg.AssetKey, week: str) -> Revision | None:
            return store.current(common.address(asset, week))

        def is_trained(week: str, features: Revision, categories: Revision) -> bool:
            model = current(MODEL, week)
            if model is None or checks.failed_blocking(model.lineage.details, MODEL_CHECKS):
                return False
            return retraining.is_made_of(model, [features, categories], current, code_versions())

        def read(week: str) -> retraining.Dataset | None:
            features, categories = current(FEATURES, week), current(ZERO_COST_CATEGORIES, week)
            if features is None:
                return None
            details = features.lineage.details
            found = retraining.Dataset(
                features.digest, sum(details["rows"].values()),
                tuple(checks.failed_blocking(details, FEATURES_CHECKS)),
                checks.lacking(ZERO_COST_CATEGORIES, week, categories, CATEGORIES_CHECKS) or "",
                urgent=_drifted(details["drift"]),
            )  # fmt: skip
            if found.failed or found.waits_for or categories is None:
                return found
            return replace(found, is_trained=is_trained(week, features, categories))

        return read

    policy = retraining.Policy(settings.trino_retrain_weeks, newest_only=True)
    return retraining.retrain("query_predictor_new_weeks", FEATURES, job, policy, reader, _run_config(settings))


def code_versions() -> dict[dg.AssetKey, str]:
    """Of each asset that the training's job makes, the code version that it would record now."""
    from platform_assets.query_predictor import training_options

    return {MODEL: training_options.CODE_VERSION}


def _drifted(drift: Mapping[str, Any]) -> str:
    """In what the week is other than what the newest earlier model was trained on; empty within the limit, and without a model.

    Of what cannot be compared the comparison itself says so.
    """
    if why := drift.get("urgent"):
        return why
    if not drift.get("is_beyond_limit"):
        return ""
    names = drift["beyond"]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more} drifted from what the model of {drift['against']} was trained on"


def _run_config(settings: Settings) -> dict[str, Any]:
    """As the Launchpad would show the options of PLATFORM_TRINO_TRAINING_OPTIONS."""
    given = settings.trino_training_options
    if not given:
        return {}
    from platform_assets.query_predictor.training_options import PROGRAM, TrainingOptions
    from platform_assets.training import options

    # Decided by the week and the step; where things lie is no matter of how to train.
    decided = frozenset({"features", "zero_cost", "output", "work"})
    checked = options.checked_setting("PLATFORM_TRINO_TRAINING_OPTIONS", given, TrainingOptions, PROGRAM, decided)
    return {"ops": {MODEL.to_python_identifier(): {"config": {common.OPTIONS: dict(checked)}}}}
