"""planner/replay_scores: the model of the week before plans the evaluated week again, and every row is scored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, programs
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, MODEL, RECIPES, REPLAY_SCORES
from platform_assets.planner.assets.dataset import CHECKS as DATASET_CHECKS
from platform_assets.planner.assets.model import CHECKS as MODEL_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Publication, Revision
    from platform_assets.planner.replay_record import Recorded, Sides

CHECKS = (
    checks.Check("rows_reconcile", "Every row of the dataset was scored or is counted among the excluded."),
    checks.Check("constraint_respect", "Every plan that would be served keeps every rule.", blocking=False),
    checks.Check("raw_violations", "How many plans the validator had to change.", blocking=False),
)


class ReplayConfig(dg.Config):
    """What to compare with."""

    baseline_version: int = -1
    """Version of planner_policy; -1 is the one that is active."""
    sample_size: int = 0
    """Replay only so many rows, the same on every run; 0 is all. A sample is never enough for a policy version."""
    batch_size: int = 32
    """Rows planned at a time; the plans do not depend on it."""


@dataclass(frozen=True)
class Inputs:
    """The pinned revisions that a replay reads."""

    dataset: "Revision"
    model: "Revision"
    recipes: "Revision"
    enriched: "Mapping[str, Revision]"

    @property
    def revisions(self) -> "list[Revision]":
        """All of them."""
        return [self.dataset, self.model, self.recipes, *self.enriched.values()]


def build(settings: Settings) -> dg.AssetsDefinition:
    """The replay of each evaluated week."""
    evaluated = partitions.planner_evaluated_weekly(settings)

    @dg.asset(
        key=REPLAY_SCORES,
        deps=[
            dg.AssetDep(MODEL, partition_mapping=partitions.week_before()),
            DATASET,
            RECIPES,
            dg.AssetDep(ENRICHED_PLANS, partition_mapping=partitions.days_in_week()),
        ],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"pytorch", "parquet", "mlflow"},
        check_specs=checks.specs(REPLAY_SCORES, CHECKS, evaluated),
        partitions_def=evaluated,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=common.writer_pool(settings) or common.TRAINING_POOL,
        automation_condition=automation.judged_from_trained(gates=dg.AssetSelection.assets(ENRICHED_PLANS)),
    )
    def replay_scores(
        context: dg.AssetExecutionContext, config: ReplayConfig, lake: LakeResource, engine: EngineResource,
        mlflow: MlflowResource, warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("replay") as folder:
                return [_Replay(context, config, lake.open(), mlflow, warehouse, week, folder).produce()]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return replay_scores


@dataclass
class _Replay:
    """One week's replay, from pinned inputs to recorded scores."""

    context: dg.AssetExecutionContext
    config: ReplayConfig
    lake: "Lake"
    mlflow: MlflowResource
    warehouse: WarehouseResource
    week: str
    folder: Path

    def produce(self) -> partitioned.Produced:
        """Run the program, publish, record."""
        from platform_assets.core.lake import Lineage
        from platform_assets.planner import judgement, replay, replay_record

        address = common.address(REPLAY_SCORES, self.week)
        before, inputs = self.lake.current(address), self._inputs()
        sides = replay_record.sides(
            self.warehouse.open(), self.mlflow.open(), inputs.model, self.config.baseline_version
        )
        summary = programs.run_program(
            self.context, "platform_assets.planner.replay", self._words(inputs, sides),
            common.services(self.mlflow, self.warehouse),
        )  # fmt: skip
        scores = self.folder / "replay" / replay.SCORES
        outcomes = replay_record.judge(summary, inputs.dataset.rows or 0, scores)
        lineage = Lineage(
            inputs=tuple(revision.as_input() for revision in inputs.revisions),
            code_version=replay_record.CODE_VERSION, run_id=self.context.run.run_id,
            details={**sides.document(), "summary": summary, "checks": checks.to_details(outcomes)},
        )  # fmt: skip
        publication = self.lake.publish_table(address, {replay.SCORES: scores}, lineage, expected=before)
        means = judgement.means(scores)
        pictures = replay_record.pictures(means, partitions.dataset_date(self.week), sides)
        recorded = replay_record.Recorded(
            sides,
            partitions.dataset_date(self.week),
            inputs.dataset,
            publication.revision,
            means,
            summary["households"],
        )
        link = self._record(recorded, pictures)
        return partitioned.Produced(
            REPLAY_SCORES, publication, _metadata(publication, scores, summary, means, link, pictures), outcomes
        )

    def _inputs(self) -> Inputs:
        purpose, trained = f"replay {self.week}", partitions.previous_week(self.week)
        dataset = common.require(self.lake, DATASET, [self.week], purpose)[self.week]
        checks.require_passed(DATASET, self.week, dataset, DATASET_CHECKS)
        model = common.require(self.lake, MODEL, [trained], purpose)[trained]
        checks.require_passed(MODEL, trained, model, MODEL_CHECKS)
        recipes = common.require(self.lake, RECIPES, [self.week], purpose)[self.week]
        enriched = common.require(self.lake, ENRICHED_PLANS, partitions.days_of_week(self.week), purpose)
        return Inputs(dataset, model, recipes, enriched)

    def _words(self, inputs: Inputs, sides: "Sides") -> list[str]:
        from platform_assets.planner import registration
        from platform_assets.planner.catalogue import RECIPES as RECIPES_FILE

        options = {
            "--model_name": registration.MODEL_NAME, "--model_version": sides.model_version,
            "--baseline_version": str(sides.baseline.version),
            "--dataset": str(common.fetch_dataset(self.lake, inputs.dataset, self.folder)),
            "--recipes": str(self.lake.fetch(inputs.recipes, RECIPES_FILE, self.folder)),
            "--sample_size": str(self.config.sample_size), "--batch_size": str(self.config.batch_size),
            "--output": str(self.folder / "replay"),
        }  # fmt: skip
        logged = common.fetch_all(self.lake, inputs.enriched, "enriched_plans.parquet", self.folder)
        return [*common.words(options), *(word for path in logged for word in ("--logged", str(path)))]

    def _record(self, recorded: "Recorded", pictures: Mapping[str, bytes]) -> str:
        """One MLflow run and one row of exp.offline_replay_results for these scores; returns the run's address."""
        from platform_assets.planner import replay_record

        tags = recorded.tags()
        run = self.mlflow.finished_run(self.context, replay_record.EXPERIMENT, self.week, tags)
        if run is None:
            with self.mlflow.partition_run(self.context, replay_record.EXPERIMENT, self.week, tags) as run:
                recorded.log(run, pictures, self.folder)
                if not self.config.sample_size:
                    recorded.log_on_training(self.mlflow.open())
        recorded.write(self.warehouse.open(), run.run_id)
        return self.mlflow.run_url(run)


def _metadata(
    publication: "Publication", scores: Path, summary: Mapping[str, Any], means: Mapping[str, Mapping[str, float]],
    link: str, pictures: Mapping[str, bytes],
) -> dict[str, Any]:  # fmt: skip
    from platform_assets.orchestration.metadata import image, table_metadata
    from platform_assets.planner import replay_record

    return {
        "comparison": dg.MetadataValue.md(replay_record.table(means)),
        **{name.removesuffix(".png"): image(picture, name) for name, picture in pictures.items()},
        "mlflow_run": dg.MetadataValue.url(link),
        "summary": dg.MetadataValue.json(dict(summary)),
        **table_metadata(publication, scores),
    }


_DESCRIPTION = """Every accepted plan of the evaluated week, planned again by the model of the week before and by the baseline,
as each is served, and scored on the same rows: for the served plan and for what was proposed. No row was seen in training."""
