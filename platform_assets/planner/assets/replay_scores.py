"""planner/replay_scores: candidate and baseline on every accepted plan of a week that neither has seen, row by row."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, MODEL, RECIPES, REPLAY_SCORES
from platform_assets.planner.assets.dataset import CHECKS as DATASET_CHECKS
from platform_assets.planner.assets.model import CHECKS as MODEL_CHECKS
from platform_assets.planner.assets.recipes import CHECKS as RECIPES_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake
    from platform_assets.core.step import Step
    from platform_assets.planner.weekly_replay import Inputs

CHECKS = (
    checks.Check("rows_reconcile", "Every row of the dataset was scored or is counted among the excluded."),
    checks.Check("constraint_respect", "Every plan that would be served keeps every rule.", blocking=False),
    checks.Check("raw_violations", "How many plans the validator had to change.", blocking=False),
)


class ReplayConfig(dg.Config):
    """How to replay; what with is settled: the week's model and the active version, on every row."""

    batch_size: int = 0
    """Rows planned at a time, 0 for the program's own choice; in float32 the plans do not depend on it."""
    device: str = ""
    """cpu, cuda or cuda:1; CUDA where there is some when left out."""

    def options(self) -> dict[str, str]:
        """As options of the command line."""
        return {"batch_size": str(self.batch_size or ""), "device": self.device}


def build(settings: Settings) -> dg.AssetsDefinition:
    """The replay of each evaluated week."""
    evaluated = partitions.planner_evaluated_weekly(settings)

    @weekly_assets.weekly_asset(
        REPLAY_SCORES,
        CHECKS,
        evaluated,
        owners=common.OWNERS,
        deps=[
            dg.AssetDep(MODEL, partition_mapping=partitions.week_before()),
            DATASET,
            RECIPES,
            dg.AssetDep(ENRICHED_PLANS, partition_mapping=partitions.days_in_week()),
        ],
        description=_DESCRIPTION,
        kinds={"pytorch", "parquet", "mlflow"},
        pool=upstream.TRAINING_POOL,
        automation_condition=automation.judged_from_trained(gates=dg.AssetSelection.assets(ENRICHED_PLANS)),
    )
    def replay_scores(
        context: dg.AssetExecutionContext, config: ReplayConfig, lake: LakeResource, engine: EngineResource,
        mlflow: MlflowResource, warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def make(step: "Step") -> Made:
            from platform_assets.planner.weekly_replay import WeeklyReplay

            inputs, address = _inputs(step.lake, step.partition), common.address(REPLAY_SCORES, step.partition)
            return weekly_assets.replayed(WeeklyReplay(step, inputs, address, config.options()).produce())

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, REPLAY_SCORES, CHECKS, make)

    return replay_scores


def _inputs(lake: "Lake", week: str) -> "Inputs":
    from platform_assets.planner.weekly_replay import Inputs

    purpose, trained = f"replay {week}", partitions.previous_week(week)
    dataset = common.require(lake, DATASET, [week], purpose)[week]
    checks.require_passed(DATASET, week, dataset, DATASET_CHECKS)
    model = common.require(lake, MODEL, [trained], purpose)[trained]
    checks.require_passed(MODEL, trained, model, MODEL_CHECKS)
    recipes = common.require(lake, RECIPES, [week], purpose)[week]
    checks.require_passed(RECIPES, week, recipes, RECIPES_CHECKS)
    enriched = common.require(lake, ENRICHED_PLANS, partitions.days_of_week(week), purpose)
    return Inputs(dataset, model, recipes, tuple(enriched.values()))


_DESCRIPTION = """Every accepted plan of the evaluated week, planned again by the model of the week before and by the baseline,
as each is served, and scored on the same rows: for the served plan and for what was proposed. No row was seen in training."""
