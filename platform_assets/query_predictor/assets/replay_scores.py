"""query_predictor/replay_scores: the model of the week before and the active version on every query of two weeks new to it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.assets.common import (
    FEATURES,
    MODEL,
    REPLAY_SCORES,
    TRAINING_SAMPLE,
    ZERO_COST_CATEGORIES,
)
from platform_assets.query_predictor.assets.features import CHECKS as FEATURES_CHECKS
from platform_assets.query_predictor.assets.model import CHECKS as MODEL_CHECKS
from platform_assets.query_predictor.assets.training_sample import CHECKS as SAMPLE_CHECKS
from platform_assets.query_predictor.assets.zero_cost_categories import CHECKS as CATEGORIES_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Revision
    from platform_assets.core.step import Step
    from platform_assets.query_predictor.weekly_replay import Inputs

CHECKS = (
    checks.Check("rows_reconcile", "Every query of the sample's 14 days was replayed, every heavy one among them."),
    checks.Check("score_drift", "The model's scores are spread as on its validation days.", blocking=False),
    checks.Check("feature_drift", "The queries are as those that the model was trained on.", blocking=False),
    checks.Check(
        "zero_cost_misses", "The model's safe categories let by at most .2 % of the heavy queries.", blocking=False
    ),
)


class ReplayConfig(dg.Config):
    """How to replay; what with is settled: the model of the week before and the active version, on every query."""

    online_route: str = ""
    """Finds an online router's decision in clientInfo: a regular expression with a group that is heavy or light."""

    def options(self) -> dict[str, str]:
        """As options of the command line."""
        return {"online_route": self.online_route}


def evaluated_weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """The weeks that a model of the week before can be judged on: all of the samples' but the first."""
    return partitions.trino_known_weekly(settings, common.WINDOW_DAYS + 7)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The replay of each evaluated week."""

    @weekly_assets.weekly_asset(
        REPLAY_SCORES,
        CHECKS,
        evaluated_weekly(settings),
        owners=common.OWNERS,
        deps=[
            dg.AssetDep(MODEL, partition_mapping=partitions.week_before()),
            FEATURES,
            TRAINING_SAMPLE,
            ZERO_COST_CATEGORIES,
        ],
        description=_DESCRIPTION,
        kinds={"onnx", "parquet", "mlflow"},
        pool=upstream.TRAINING_POOL,
        automation_condition=once_features_are_up_to_date(),
    )
    def replay_scores(
        context: dg.AssetExecutionContext, config: ReplayConfig, lake: LakeResource, engine: EngineResource,
        mlflow: MlflowResource, warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def make(step: "Step") -> Made:
            from platform_assets.query_predictor.weekly_replay import WeeklyReplay

            inputs, address = _inputs(settings, step), common.address(REPLAY_SCORES, step.partition)
            return weekly_assets.replayed(WeeklyReplay(step, inputs, address, config.options()).produce())

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, REPLAY_SCORES, CHECKS, make)

    return replay_scores


def once_features_are_up_to_date() -> dg.AutomationCondition:
    """As `automation.judged_from_trained`, and not while features are older than what they are made of.

    A sample that was made again is followed by the features of the same days, and those by this: it is a gate. Categories are no
    gate: what they count beside the sample changes no feature, and is read here. Both often change at once. Not asked by
    `will_be_requested()`: features are requested by another sensor's tick.
    """
    condition = dg.AutomationCondition
    changed = condition.any_deps_match(condition.data_version_changed())
    are_old = condition.any_deps_match(changed.since(condition.newly_updated())).allow(
        dg.AssetSelection.assets(FEATURES)
    )
    ready = automation.judged_from_trained(gates=dg.AssetSelection.assets(TRAINING_SAMPLE))
    return (ready & ~are_old.with_label("features_are_old")).with_label("once_features_are_up_to_date")


def _inputs(settings: Settings, step: "Step") -> "Inputs":
    from platform_assets.query_predictor.weekly_replay import Inputs

    lake, week, purpose = step.lake, step.partition, f"replay {step.partition}"
    trained = common.known_weeks_before(settings, week)[0]
    model = common.require(lake, MODEL, trained, MODEL_CHECKS, purpose)
    model_features = trained_on(lake, model, purpose)
    features = common.require(lake, FEATURES, week, FEATURES_CHECKS, purpose)
    sample = common.require(lake, TRAINING_SAMPLE, week, SAMPLE_CHECKS, purpose)
    _require_made_from(features, sample, purpose)
    categories = common.require(lake, ZERO_COST_CATEGORIES, week, CATEGORIES_CHECKS, purpose)
    common.require_made_of(categories, sample.lineage.inputs, purpose)
    return Inputs(model, model_features, features, sample, categories)


def trained_on(lake: "Lake", model: "Revision", purpose: str) -> "Revision":
    """The features that a model names, current or not: a day that came late makes others, and the model stays what it is."""
    found = [each for each in model.lineage.inputs if each.asset == FEATURES.to_user_string()]
    if len(found) != 1:
        name, week = model.address.asset, model.address.partition
        raise dg.Failure(
            f"{purpose}: {name} of {week} does not name the {FEATURES.to_user_string()} that it was trained on: materialise {name} of "
            f"{week} again",
            allow_retries=False,
        )
    return lake.revision(common.address(FEATURES, found[0].partition), found[0].digest)


def _require_made_from(made: "Revision", source: "Revision", purpose: str) -> None:
    if source.as_input() not in made.lineage.inputs:
        name, week = made.address.asset, made.address.partition
        raise dg.Failure(
            f"{purpose}: {name} of {week} was made from another {source.address.asset} than the current one: materialise {name} of "
            f"{week} again",
            allow_retries=False,
        )


_DESCRIPTION = """Every query of the 14 days up to the evaluated week's Sunday, as they come, routed by the model of the week before
and by the active version: none of them was grown, stopped or given its threshold on these days. A model is asked with the history that
it serves with, a snapshot that is as old as the model. Scores, decisions, mistakes and their cost, row by row; by seen and unseen
template, by day, beside templates' history and the rule at equal recall, and beside an online router where clientInfo holds its
decisions; drift of features and of scores."""
