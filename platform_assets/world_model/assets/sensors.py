"""The world model's sensor: it trains again when enough new weeks of baskets have arrived.

Thin: when a training is due is `orchestration.retraining`'s business. Replay and verdict follow by their automation condition.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import dagster as dg

from platform_assets.core.lake import Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitions, retraining
from platform_assets.orchestration.resources import LakeResource
from platform_assets.world_model import splits
from platform_assets.world_model.assets import common, jobs
from platform_assets.world_model.assets.baskets import CHECKS as BASKETS_CHECKS
from platform_assets.world_model.assets.common import (
    BASKETS,
    CUSTOMER_FEATURES,
    MODEL,
    PRICES,
    PRODUCT_EMBEDDINGS,
    STORE_FEATURES,
    TENSOR_CACHE,
    TRANSACTIONS,
)
from platform_assets.world_model.assets.model import CHECKS as MODEL_CHECKS
from platform_assets.world_model.assets.transactions import CHECKS as TRANSACTIONS_CHECKS


def build(settings: Settings) -> list[dg.SensorDefinition]:
    """The world model's own sensors."""
    return [new_weeks(settings, jobs.TRAINING)]


def new_weeks(settings: Settings, job: str) -> dg.SensorDefinition:
    """Train with a week as the last one known, PLATFORM_RETAIL_RETRAIN_WEEKS after the training before it.

    Once every week up to it is published and passed its checks, and there are enough of them for a split. Of several such weeks
    the newest alone: each training reads all weeks, and nobody wants a model of each week of a backfill. The runs take
    PLATFORM_RETAIL_TRAINING_OPTIONS. A week whose model passed its checks is left as it is, whoever trained it, if the
    transactions and baskets that it goes back to are still current and model, cache and features were made by today's code
    (`code_versions`). The code that made transactions and baskets, options and releases of libraries are not compared.
    """
    first = partitions.retail_first_week(settings)

    def reader(lake: LakeResource) -> Callable[[str], retraining.Dataset | None]:
        store = lake.open()

        @cache
        def current(asset: dg.AssetKey, week: str) -> Revision | None:
            return store.current(common.address(asset, week))

        @cache
        def lacks(week: str) -> str:
            """Why a week cannot be built on, by its manifests; empty if it can."""
            read_of_it = ((TRANSACTIONS, TRANSACTIONS_CHECKS), (BASKETS, BASKETS_CHECKS))
            found = (checks.lacking(asset, week, current(asset, week), required) for asset, required in read_of_it)
            return next(filter(None, found), "")

        def is_trained(week: str) -> bool:
            """Whether a model that passed was made by this code of the weeks that are current, and so was all between them."""
            model, cache = current(MODEL, week), current(TENSOR_CACHE, week)
            if model is None or cache is None:
                return False
            passed = not checks.failed_blocking(model.lineage.details, MODEL_CHECKS)
            return passed and retraining.is_made_of(model, [cache], current, code_versions())

        def read(week: str) -> retraining.Dataset | None:
            revision = current(BASKETS, week)
            if revision is None:
                return None
            weeks = partitions.retail_weeks_up_to(week, first)
            if len(weeks) < splits.LEAST_WEEKS:
                # Out for good, as a week that failed: no later week will stand before it.
                too_few = f"a split needs {splits.LEAST_WEEKS} weeks, and {len(weeks)} end with it"
                return retraining.Dataset(revision.digest, revision.rows or 0, (too_few,))
            failed = tuple(checks.failed_blocking(revision.lineage.details, BASKETS_CHECKS))
            waits_for = "; ".join(list(filter(None, map(lacks, weeks)))[:3])
            found = retraining.Dataset(revision.digest, revision.rows or 0, failed, waits_for)
            return found if failed or waits_for else replace(found, is_trained=is_trained(week))

        return read

    policy = retraining.Policy(settings.retail_retrain_weeks, newest_only=True)
    return retraining.retrain("world_model_new_weeks", BASKETS, job, policy, reader, _run_config(settings))


def code_versions() -> dict[dg.AssetKey, str]:
    """Of each asset that the training's job makes, the code version that it would record now."""
    from platform_assets.world_model import (
        cache_builder,
        customer_features,
        prices,
        product_embeddings,
        store_features,
        training_options,
    )

    return {
        PRODUCT_EMBEDDINGS: product_embeddings.CODE_VERSION,
        CUSTOMER_FEATURES: customer_features.CODE_VERSION,
        STORE_FEATURES: store_features.CODE_VERSION,
        PRICES: prices.CODE_VERSION,
        TENSOR_CACHE: cache_builder.CODE_VERSION,
        MODEL: training_options.CODE_VERSION,
    }


def _run_config(settings: Settings) -> dict[str, Any]:
    """As the Launchpad would show the options of PLATFORM_RETAIL_TRAINING_OPTIONS."""
    given = settings.retail_training_options
    if not given:
        return {}
    from platform_assets.training import options
    from platform_assets.world_model.training_options import PROGRAM, TrainingOptions

    # Decided by the week and the step; where things lie is no matter of how to train.
    decided = frozenset({"tensor_cache", "output", "work"})
    checked = options.checked_setting("PLATFORM_RETAIL_TRAINING_OPTIONS", given, TrainingOptions, PROGRAM, decided)
    return {"ops": {MODEL.to_python_identifier(): {"config": {"options": dict(checked)}}}}
