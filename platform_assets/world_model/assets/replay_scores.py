"""world_model/replay_scores: the model and every baseline on each test basket of its split, one hidden product a basket."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import MODEL, REPLAY_SCORES, TENSOR_CACHE
from platform_assets.world_model.assets.model import CHECKS as MODEL_CHECKS
from platform_assets.world_model.assets.tensor_cache import CHECKS as TENSOR_CACHE_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake
    from platform_assets.core.step import Step
    from platform_assets.world_model.weekly_replay import Inputs

CHECKS = (
    checks.Check("rows_reconcile", "Every test basket was scored or is counted among the excluded."),
    checks.Check("above_popularity", "The model ranks hidden products better than their popularity.", blocking=False),
    checks.Check(
        "auxiliary_above_look_up",
        "Each auxiliary head is right more often than the majority class and the look-up by basket length.",
        blocking=False,
    ),
)


class ReplayConfig(dg.Config):
    """How to evaluate; what is settled: the split's model, on its test baskets."""

    batch_size: int = 0
    """Baskets ranked at a time, 0 for the program's own choice."""
    device: str = ""
    """cpu, cuda or cuda:1; CUDA where there is some when left out."""

    def options(self) -> dict[str, str]:
        """As options of the command line."""
        return {"batch_size": str(self.batch_size or ""), "device": self.device}


def build(settings: Settings) -> dg.AssetsDefinition:
    """The evaluation of each last week known."""
    known = common.known_weekly(settings)

    @weekly_assets.weekly_asset(
        REPLAY_SCORES,
        CHECKS,
        known,
        owners=common.OWNERS,
        deps=[MODEL, TENSOR_CACHE],
        description=_DESCRIPTION,
        kinds={"pytorch", "parquet", "mlflow"},
        pool=upstream.TRAINING_POOL,
        # A cache that was built again is followed by the training on it, and that by this.
        automation_condition=automation.judged_from_trained(gates=dg.AssetSelection.assets(TENSOR_CACHE)),
    )
    def replay_scores(
        context: dg.AssetExecutionContext, config: ReplayConfig, lake: LakeResource, engine: EngineResource,
        mlflow: MlflowResource, warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def make(step: "Step") -> Made:
            from platform_assets.world_model.weekly_replay import WeeklyReplay

            inputs, address = _inputs(step.lake, step.partition), common.address(REPLAY_SCORES, step.partition)
            return weekly_assets.replayed(WeeklyReplay(step, inputs, address, config.options()).produce())

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, REPLAY_SCORES, CHECKS, make)

    return replay_scores


def _inputs(lake: "Lake", week: str) -> "Inputs":
    from platform_assets.world_model.weekly_replay import Inputs

    purpose = f"replay {week}"
    cache = common.require(lake, TENSOR_CACHE, week, purpose)
    checks.require_passed(TENSOR_CACHE, week, cache, TENSOR_CACHE_CHECKS)
    model = common.require(lake, MODEL, week, purpose)
    checks.require_passed(MODEL, week, model, MODEL_CHECKS)
    if cache.as_input() not in model.lineage.inputs:
        raise dg.Failure(
            f"the model of {week} was trained on another tensor cache than the current one: materialise "
            f"{MODEL.to_user_string()} of {week} again",
            allow_retries=False,
        )
    return Inputs(cache, model)


_DESCRIPTION = """Test baskets of two or more products (of more than 200,000 so many, drawn by their ids) with one product
hidden, always the same one: its rank by the model (trip context withheld), by the network alone, and by popularity, own frequency,
item neighbours, EASE and the tuned mixture, with visible products excluded for all alike; the auxiliary tasks beside their look-up
baselines; the next basket's ten products."""
