"""query_predictor/model: gradient-boosted trees on a week's features, in the lake and in MLflow as `query_predictor_model`."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.assets.common import FEATURES, MODEL, ZERO_COST_CATEGORIES
from platform_assets.query_predictor.assets.features import CHECKS as FEATURES_CHECKS
from platform_assets.query_predictor.assets.zero_cost_categories import CHECKS as CATEGORIES_CHECKS
from platform_assets.query_predictor.documented_keys import Configuration

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake
    from platform_assets.core.step import Step
    from platform_assets.query_predictor.weekly_model import Inputs

CHECKS = (
    checks.Check("loss_fell", "On the validation days the loss is below that of the share of heavy queries alone."),
    checks.Check("onnx_agrees", "The model as it serves routes every query as the trees that were trained."),
    checks.Check("end_to_end_recall", "Recall on the test days is surely .98, or what it is.", blocking=False),
    checks.Check("routed_share", "Of the test days' queries at most a quarter is routed as heavy.", blocking=False),
    checks.Check("beats_fingerprint", "No more is routed than the templates' history needs.", blocking=False),
    checks.Check("f1", "F1 on the test days, .85 or more.", blocking=False),
    checks.Check("auc", "AUC on the test days, .90 or more.", blocking=False),
    weekly_assets.REGISTERED,
)
# Documented keys that are options of the program under their own names; the kind of model is the program itself.
_KEYS = ("n_estimators", "cv_folds", "cost_fn", "cost_fp", "weight_loss")


def build(settings: Settings, defaults: Configuration) -> dg.AssetsDefinition:
    """The model of each week."""

    @weekly_assets.weekly_asset(
        MODEL,
        CHECKS,
        common.known_weekly(settings),
        owners=common.OWNERS,
        deps=[FEATURES, ZERO_COST_CATEGORIES],
        description=_DESCRIPTION,
        kinds={"xgboost", "onnx", "mlflow"},
        pool=upstream.TRAINING_POOL,
        config_schema=common.config_schema_with_options(defaults),
    )
    def model(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, mlflow: MlflowResource,
        warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        given = given_options(common.configured(context), common.given(context)[common.OPTIONS])

        def make(step: "Step") -> Made:
            from platform_assets.query_predictor.weekly_model import WeeklyModel

            inputs, address = _inputs(step.lake, step.partition), common.address(MODEL, step.partition)
            work = settings.training_folder / "query_predictor"
            return weekly_assets.trained(WeeklyModel(step, inputs, address, given, work).produce())

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, MODEL, CHECKS, make)

    return model


def given_options(configured: Configuration, options: Mapping[str, str]) -> dict[str, str]:
    """Options of the program: the documented keys, and over them those that were given by the program's names."""
    values = {name: getattr(configured.model, name) for name in _KEYS} | {"plots": configured.analysis.enabled}
    said = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return {**said, **options}


def _inputs(lake: "Lake", week: str) -> "Inputs":
    from platform_assets.query_predictor.weekly_model import Inputs

    purpose = f"model of {week}"
    features = common.require(lake, FEATURES, week, FEATURES_CHECKS, purpose)
    categories = common.require(lake, ZERO_COST_CATEGORIES, week, CATEGORIES_CHECKS, purpose)
    common.require_made_of(categories, features.lineage.inputs, purpose)
    return Inputs(features, categories)


_DESCRIPTION = """XGBoost on the sampled train days, stopped by the validation days, with the threshold that costs least on them,
frozen; converted to ONNX and compared; judged end to end on the test days against the product's requirements. A program of its own.
Registered as `query_predictor_model` and as a version of `query_router_policy`, to be judged on the two weeks after its validation."""
