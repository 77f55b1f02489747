"""planner/base_model: the model that a week's fine-tuning starts from, made anew only when what it learns has changed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.folders import fetch_folder, files_of
from platform_assets.core.settings import Settings
from platform_assets.core.step import words
from platform_assets.orchestration import checks, partitioned, partitions, programs, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import BASE_MODEL, RECIPES
from platform_assets.planner.assets.recipes import CHECKS as RECIPES_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Revision
    from platform_assets.planner.base_model import Wanted

LOOK_BACK_WEEKS = 8


class BaseModelConfig(dg.Config):
    """Which base model. What is left empty is the deployment's setting."""

    model_base: str = ""
    """`tiny`, a local folder in the transformers format, or a hub id (PLATFORM_PLANNER_MODEL_BASE)."""
    revision: str = ""
    """Of a hub id: a commit, branch or tag; the newest commit when left out. The commit is recorded."""
    tiny_steps: int = 0
    """Steps of the tiny model's training (PLATFORM_PLANNER_TINY_STEPS)."""
    dtype: str = "float32"
    """Of the weights of a folder or hub id: float32, bfloat16 or float16, in which it is served."""


def build(settings: Settings) -> dg.AssetsDefinition:
    """The base model of each week."""
    weekly = partitions.planner_weekly(settings)

    @dg.asset(
        key=BASE_MODEL,
        deps=[RECIPES],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"pytorch", "transformers"},
        partitions_def=weekly,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.TRAINING_POOL,
    )
    def base_model(
        context: dg.AssetExecutionContext, config: BaseModelConfig, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("base_model") as folder:
                return [_produce(context, settings, config, lake.open(), week, folder)]

        yield from partitioned.run_partitions(context, produce)

    return base_model


def _produce(
    context: dg.AssetExecutionContext,
    settings: Settings,
    config: BaseModelConfig,
    lake: "Lake",
    week: str,
    folder: Path,
) -> partitioned.Produced:
    from platform_assets.core.lake import Lineage
    from platform_assets.planner import base_model
    from platform_assets.planner.catalogue import RECIPES as RECIPES_FILE
    from platform_assets.planner.catalogue import Catalogue

    before = lake.current(common.address(BASE_MODEL, week))
    recipes = common.require(lake, RECIPES, [week], f"base model {week}")[week]
    checks.require_passed(RECIPES, week, recipes, RECIPES_CHECKS)
    path = lake.fetch(recipes, RECIPES_FILE, folder)
    wanted = _resolved(context, config, settings)
    fingerprint = base_model.fingerprint(wanted, Catalogue.read(path))
    made, known = folder / "base", _known(lake, week, fingerprint)
    if known:
        context.log.info(f"the base model of {known.address.partition} was made from the same: taken over")
        fetch_folder(lake, known, made)
    elif wanted.model_base == base_model.TINY:
        options = {"tiny_steps": str(wanted.tiny_steps), "recipes": str(path), "output": str(made)}
        programs.run_program(context, "platform_assets.planner.base_model", words(options))
    else:
        # Nothing is computed, and a program of its own would read the gigabytes of a folder again.
        base_model.build(wanted, path, made)
    lineage = Lineage(
        inputs=(recipes.as_input(),), code_version=base_model.CODE_VERSION, run_id=context.run.run_id,
        details={"fingerprint": fingerprint, "model_base": wanted.model_base, "taken_from": known.address.partition if known else week},
    )  # fmt: skip
    publication = lake.publish_files(common.address(BASE_MODEL, week), files_of(made), lineage, expected=before)
    described = dg.MetadataValue.json(base_model.describe(made))
    from platform_assets.orchestration.metadata import files_metadata

    return partitioned.Produced(BASE_MODEL, publication, {**files_metadata(publication), "base": described})


def _resolved(context: dg.AssetExecutionContext, config: BaseModelConfig, settings: Settings) -> "Wanted":
    from platform_assets.planner.base_model import Wanted
    from platform_assets.planner.model_documents import ModelError

    name, steps = config.model_base or settings.planner_model_base, config.tiny_steps or settings.planner_tiny_steps
    try:
        found = Wanted(name, config.revision, config.dtype, steps).resolved()
    except ModelError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    context.log.info(f"{name} is {found.model_base} {found.revision}".rstrip())
    return found


def _known(lake: "Lake", week: str, fingerprint: str) -> "Revision | None":
    """The base model of this week or one shortly before it that was made from the same."""
    for key in reversed(partitions.trailing_weeks(week, LOOK_BACK_WEEKS)):
        revision = lake.current(common.address(BASE_MODEL, key))
        if revision and revision.lineage.details.get("fingerprint") == fingerprint:
            return revision
    return None


_DESCRIPTION = """The model that fine-tuning starts from: `tiny` (a small Llama with its own tokenizer, trained on the catalogue
and on synthetic households, never on a logged plan), or a reference to a local folder or hub id at a revision."""
