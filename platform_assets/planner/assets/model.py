"""planner/model: the base model fine-tuned on the trailing weeks, in the lake and registered in MLflow as `planner_model`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, steps, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import BASE_MODEL, DATASET, MODEL, RECIPES
from platform_assets.planner.assets.dataset import CHECKS as DATASET_CHECKS
from platform_assets.planner.assets.recipes import CHECKS as RECIPES_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake
    from platform_assets.core.weekly_training import Trained
    from platform_assets.planner.weekly_model import Inputs

CHECKS = (
    checks.Check("loss_fell", "The validation loss of the best epoch is below that of the untuned base."),
    checks.Check(
        "registered", "MLflow and exp.policy_versions both know the model, by the same version.", blocking=False
    ),
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

    @dg.asset(
        key=MODEL,
        deps=[dg.AssetDep(DATASET, partition_mapping=look_back), RECIPES, BASE_MODEL],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"pytorch", "mlflow"},
        check_specs=checks.specs(MODEL, CHECKS, weekly),
        partitions_def=weekly,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.TRAINING_POOL,
    )
    def model(
        context: dg.AssetExecutionContext, config: ModelConfig, lake: LakeResource, engine: EngineResource,
        mlflow: MlflowResource, warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def produce(week: str) -> Sequence[partitioned.Produced]:
            from platform_assets.planner.weekly_model import WeeklyModel

            with engine.workspace("model") as folder:
                step = steps.step(context, week, folder, lake, mlflow, warehouse)
                inputs = _inputs(step.lake, settings, config, week)
                work = settings.training_folder / "planner_model"
                trained = WeeklyModel(step, inputs, common.address(MODEL, week), config.given(), work).produce()
                metadata = _metadata(trained, mlflow.run_url(trained.run))
                return [partitioned.Produced(MODEL, trained.publication, metadata, trained.outcomes)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

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


def _metadata(trained: "Trained", link: str) -> dict[str, Any]:
    from platform_assets.orchestration.metadata import files_metadata, image
    from platform_assets.planner import trained_model

    pictures = {path.stem: image(path.read_bytes(), path.stem) for path in sorted(trained.folder.glob("*.png"))}
    return {
        **files_metadata(trained.publication),
        "mlflow_version": trained.model_version, "policy_version": trained.policy_version,
        "mlflow_run": dg.MetadataValue.url(link), **pictures, **trained_model.numbers(trained.metrics),
    }  # fmt: skip


_DESCRIPTION = """The base model, fine-tuned (LoRA) on the accepted plans of the trailing weekly datasets, each pinned by its
digest; a program of its own that goes on where it was killed. Registered as `planner_model` and as a version of
`planner_policy`, to be judged on the week after."""
