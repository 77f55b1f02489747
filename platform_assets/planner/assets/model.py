"""planner/model: the base model fine-tuned on the trailing weeks, in the lake and registered in MLflow as `planner_model`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import BASE_MODEL, DATASET, MODEL, RECIPES
from platform_assets.planner.assets.dataset import CHECKS as DATASET_CHECKS
from platform_assets.planner.assets.recipes import CHECKS as RECIPES_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake
    from platform_assets.core.step import Step
    from platform_assets.planner.weekly_model import Inputs

CHECKS = (
    checks.Check("loss_fell", "The validation loss of the best epoch is below that of the untuned base."),
    weekly_assets.REGISTERED,
)


class ModelConfig(dg.Config):
    """How to fine-tune. 0 and "" take what suits the base model (`planner.training.TrainingOptions`)."""

    trailing_weeks: int = 0
    """Datasets to train on, the partition's own the last (PLATFORM_PLANNER_TRAINING_WEEKS)."""
    epochs: int = 0
    """Passes over the rows, ended early where the validation loss no longer falls."""
    learning_rate: float = 0.0
    """Of AdamW, after warm-up; half a cosine down to 0."""
    batch_size: int = 0
    """Rows of an optimizer step."""
    seed: int = 0
    """Of the order of rows and targets, of dropout, and of the adapter's first weights."""
    options: dict[str, str] = {}
    """Any other option of `python -m platform_assets.planner.training`, without its dashes; switches are true or false."""

    def given(self) -> dict[str, str]:
        """What of it is not left open, as options of the command line."""
        named = {
            "epochs": self.epochs, "lr": self.learning_rate, "batch_size": self.batch_size, "seed": self.seed,
        }  # fmt: skip
        return {**{name: str(value) for name, value in named.items() if value}, **self.options}


def build(settings: Settings) -> dg.AssetsDefinition:
    """The weekly model."""
    weekly = partitions.planner_weekly(settings)
    look_back = partitions.weeks_before(settings.planner_training_weeks - 1)

    @weekly_assets.weekly_asset(
        MODEL,
        CHECKS,
        weekly,
        owners=common.OWNERS,
        deps=[dg.AssetDep(DATASET, partition_mapping=look_back), RECIPES, BASE_MODEL],
        description=_DESCRIPTION,
        kinds={"pytorch", "mlflow"},
        pool=upstream.TRAINING_POOL,
    )
    def model(
        context: dg.AssetExecutionContext, config: ModelConfig, lake: LakeResource, engine: EngineResource,
        mlflow: MlflowResource, warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def make(step: "Step") -> Made:
            from platform_assets.planner.weekly_model import WeeklyModel

            inputs = _inputs(step.lake, settings, config, step.partition)
            address = common.address(MODEL, step.partition)
            work = settings.training_folder / "planner_model"
            return weekly_assets.trained(WeeklyModel(step, inputs, address, config.given(), work).produce())

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, MODEL, CHECKS, make)

    return model


def _inputs(lake: "Lake", settings: Settings, config: ModelConfig, week: str) -> "Inputs":
    from platform_assets.planner.weekly_model import Inputs

    purpose = f"model {week}"
    weeks = trailing_datasets(settings, week, config.trailing_weeks)
    datasets = common.require(lake, DATASET, weeks, purpose)
    for key, revision in datasets.items():
        checks.require_passed(DATASET, key, revision, DATASET_CHECKS)
    recipes = common.require(lake, RECIPES, [week], purpose)[week]
    checks.require_passed(RECIPES, week, recipes, RECIPES_CHECKS)
    base = common.require(lake, BASE_MODEL, [week], purpose)[week]
    return Inputs(tuple(datasets.values()), recipes, base)


def trailing_datasets(settings: Settings, week: str, count: int = 0) -> list[str]:
    """The weeks whose datasets a week's model is trained on, oldest first, cut at the calendar's start."""
    first = partitions.planner_weekly(settings).get_first_partition_key() or week
    trailing = partitions.trailing_weeks(week, count or settings.planner_training_weeks)
    return [key for key in trailing if key >= first]


_DESCRIPTION = """The base model, fine-tuned (LoRA) on the accepted plans of the trailing weekly datasets, each pinned by its
digest; a program of its own that goes on where it was killed. Registered as `planner_model` and as a version of
`planner_policy`, to be judged on the week after."""
