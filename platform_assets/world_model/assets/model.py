"""world_model/model: the masked-product transformer trained on a split's train weeks, in the lake and in MLflow as `world_model`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import MODEL, TENSOR_CACHE
from platform_assets.world_model.assets.tensor_cache import CHECKS as TENSOR_CACHE_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake
    from platform_assets.core.step import Step
    from platform_assets.world_model.weekly_model import Inputs

CHECKS = (
    checks.Check(
        "loss_fell", "On the quick validation's baskets the best epoch's loss is below the untrained network's."
    ),
    weekly_assets.REGISTERED,
)


class ModelConfig(dg.Config):
    """How to train. 0 takes the program's own default (`python -m platform_assets.world_model.training --help`)."""

    epochs: int = 0
    """Passes over the train baskets, ended early where the full validation loss no longer falls."""
    learning_rate: float = 0.0
    """Of AdamW, after warm-up; half a cosine down to 0."""
    batch_size: int = 0
    """Baskets of an optimizer step, over all devices."""
    devices: int = 0
    """Processes on this machine, one a device."""
    seed: int = 0
    """Of the order of baskets, of masks, of dropout, and of the first weights."""
    options: dict[str, str] = {}
    """Any other option of the program, without its dashes; switches are true or false."""

    def given(self) -> dict[str, str]:
        """What of it is not left open, as options of the command line."""
        named = {
            "epochs": self.epochs, "learning_rate": self.learning_rate, "batch_size": self.batch_size,
            "devices": self.devices, "seed": self.seed,
        }  # fmt: skip
        return {**{name: str(value) for name, value in named.items() if value}, **self.options}


def build(settings: Settings) -> dg.AssetsDefinition:
    """The model of each last week known."""
    known = common.known_weekly(settings)

    @weekly_assets.weekly_asset(
        MODEL,
        CHECKS,
        known,
        owners=common.OWNERS,
        deps=[TENSOR_CACHE],
        description=_DESCRIPTION,
        kinds={"pytorch", "mlflow"},
        pool=upstream.TRAINING_POOL,
    )
    def model(
        context: dg.AssetExecutionContext, config: ModelConfig, lake: LakeResource, engine: EngineResource,
        mlflow: MlflowResource, warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def make(step: "Step") -> Made:
            from platform_assets.world_model.weekly_model import WeeklyModel

            inputs, address = _inputs(step.lake, step.partition), common.address(MODEL, step.partition)
            work = settings.training_folder / "world_model"
            return weekly_assets.trained(WeeklyModel(step, inputs, address, config.given(), work).produce())

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, MODEL, CHECKS, make)

    return model


def _inputs(lake: "Lake", week: str) -> "Inputs":
    from platform_assets.world_model.weekly_model import Inputs

    cache = common.require(lake, TENSOR_CACHE, week, f"model {week}")
    checks.require_passed(TENSOR_CACHE, week, cache, TENSOR_CACHE_CHECKS)
    return Inputs(cache)


_DESCRIPTION = """The masked-product transformer, trained on the split's train weeks and stopped by its validation weeks, by a
program of its own that goes on where it was killed. Registered as `world_model` and as a version of `world_model_policy`, to be
judged on the test weeks."""
