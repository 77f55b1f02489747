"""planner/model: the base model fine-tuned on the trailing weeks, in the lake and registered in MLflow as `planner_model`."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, programs
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import BASE_MODEL, DATASET, MODEL, RECIPES
from platform_assets.planner.assets.dataset import CHECKS as DATASET_CHECKS
from platform_assets.planner.assets.recipes import CHECKS as RECIPES_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Publication, Revision
    from platform_assets.core.tracking import Run

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


@dataclass(frozen=True)
class Inputs:
    """The pinned revisions that a week's training reads, by what they are."""

    datasets: "Mapping[str, Revision]"
    recipes: "Revision"
    base: "Revision"

    @property
    def revisions(self) -> "list[Revision]":
        """All of them."""
        return [*self.datasets.values(), self.recipes, self.base]


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
        pool=common.writer_pool(settings) or common.TRAINING_POOL,
    )
    def model(
        context: dg.AssetExecutionContext, config: ModelConfig, lake: LakeResource, engine: EngineResource,
        mlflow: MlflowResource, warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("model") as folder:
                training = _Training(context, settings, config, lake.open(), mlflow, warehouse, week, folder)
                return [training.produce()]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return model


@dataclass
class _Training:
    """One week's training, from pinned inputs to a registered version. Every step finds what an earlier try left behind."""

    context: dg.AssetExecutionContext
    settings: Settings
    config: ModelConfig
    lake: "Lake"
    mlflow: MlflowResource
    warehouse: WarehouseResource
    week: str
    folder: Path

    def produce(self) -> partitioned.Produced:
        """Train, publish, register; or find that all of it was done."""
        from platform_assets.planner import registration, trained_model, training_options

        before, inputs = self.lake.current(common.address(MODEL, self.week)), self._inputs()
        words, base = self._words(inputs), self._base(inputs)
        options = trained_model.read_options([*self._files(), *words])
        fingerprint = training_options.fingerprint(
            options, sorted(each.digest for each in inputs.datasets.values()), base["digest"], inputs.recipes.digest
        )
        work = self.settings.training_folder / registration.MODEL_NAME / fingerprint
        tags = {**self._tags(inputs, base), registration.FINGERPRINT: fingerprint}
        tracking, warehouse = self.mlflow.open(), self.warehouse.open()
        version = registration.registered(tracking, fingerprint)
        if version and (made := self._made(before, fingerprint)):
            publication = self._publish(made, inputs, words, fingerprint, before)
            run = registration.run_of(tracking, version)
        else:
            # Also where only the registration is missing: what the killed training left makes it quick, and the run complete.
            with self.mlflow.partition_run(self.context, registration.EXPERIMENT, self.week, tags) as run:
                made = self._train(inputs, words, work, run)
                publication = self._publish(made, inputs, words, fingerprint, before)
                tags = {**tags, "model_digest": publication.revision.digest}
                defaults = trained_model.serving_defaults(made)
                version = registration.register(tracking, run, made, fingerprint, tags, defaults)
        known = registration.register_policy_versions(tracking, warehouse)[version]
        metrics = trained_model.read_metrics(made)
        outcomes = [trained_model.judge_loss(metrics), registration.judge_agreement(tracking, warehouse, "registered")]
        metadata = self._metadata(made, metrics, version, known.version, self.mlflow.run_url(run))
        shutil.rmtree(work, ignore_errors=True)
        return partitioned.Produced(MODEL, publication, {**common.files_metadata(publication), **metadata}, outcomes)

    def _publish(
        self, made: Path, inputs: Inputs, words: Sequence[str], fingerprint: str, before: "Revision | None"
    ) -> "Publication":
        from platform_assets.core.lake import Lineage
        from platform_assets.planner import trained_model, training_options

        judged = checks.to_details([trained_model.judge_loss(trained_model.read_metrics(made))])
        lineage = Lineage(
            inputs=tuple(revision.as_input() for revision in inputs.revisions),
            code_version=training_options.CODE_VERSION, run_id=self.context.run.run_id,
            details={"fingerprint": fingerprint, "options": words, "checks": judged},
        )  # fmt: skip
        address = common.address(MODEL, self.week)
        return self.lake.publish_files(address, common.files_of(made), lineage, expected=before)

    def _inputs(self) -> Inputs:
        count = self.config.trailing_weeks or self.settings.planner_training_weeks
        first = partitions.planner_weekly(self.settings).get_first_partition_key() or self.week
        weeks = [week for week in partitions.trailing_weeks(self.week, count) if week >= first]
        datasets = common.require(self.lake, DATASET, weeks, f"model {self.week}")
        for week, revision in datasets.items():
            checks.require_passed(DATASET, week, revision, DATASET_CHECKS)
        recipes = common.require(self.lake, RECIPES, [self.week], f"model {self.week}")[self.week]
        checks.require_passed(RECIPES, self.week, recipes, RECIPES_CHECKS)
        base = common.require(self.lake, BASE_MODEL, [self.week], f"model {self.week}")[self.week]
        return Inputs(datasets, recipes, base)

    def _words(self, inputs: Inputs) -> list[str]:
        """The options of the command line that decide what comes of it; the base's own advice first."""
        from platform_assets.planner import base_model

        given = {
            "epochs": self.config.epochs, "lr": self.config.learning_rate, "batch_size": self.config.batch_size,
            "seed": self.config.seed,
        }  # fmt: skip
        chosen = {name: str(value) for name, value in given.items() if value}
        advised = base_model.advised_options(str(inputs.base.lineage.details["model_base"]))
        chosen = {**advised, **chosen, **self.config.options}
        switches = {name: value for name, value in chosen.items() if value in ("true", "false")}
        valued = common.words({f"--{name}": value for name, value in chosen.items() if name not in switches})
        return [*valued, *(f"--{name}" if value == "true" else f"--no-{name}" for name, value in switches.items())]

    def _files(self) -> list[str]:
        """The options that say where things lie, for the fingerprint, which does not depend on them."""
        return ["--dataset", ".", "--model_base", ".", "--recipes", ".", "--output", "."]

    def _base(self, inputs: Inputs) -> dict[str, Any]:
        """What base.json says."""
        from platform_assets.planner import base_model

        return json.loads(self.lake.read_side(inputs.base, base_model.BASE))

    def _made(self, before: "Revision | None", fingerprint: str) -> Path | None:
        """The published model, where the same training has made it before."""
        if before is None or before.lineage.details.get("fingerprint") != fingerprint:
            return None
        self.context.log.info("the same rows, base and options were trained before: the published model is taken")
        return common.fetch_folder(self.lake, before, self.folder / "model")

    def _train(self, inputs: Inputs, words: Sequence[str], work: Path, run: "Run") -> Path:
        """Run the program, or go on where a killed one stopped; returns the model folder."""
        from platform_assets.core.tracking import DatasetReference
        from platform_assets.planner.catalogue import RECIPES as RECIPES_FILE

        files: list[str] = []
        for week, revision in inputs.datasets.items():
            name = f"{common.DATASET_MODEL}/{partitions.dataset_date(week)}"
            run.log_dataset(DatasetReference(name, revision.digest, revision.uri, revision.rows), "training")
            files += ["--dataset", str(common.fetch_dataset(self.lake, revision, self.folder))]
        newest = inputs.datasets[self.week]
        run.log_parameters({"dataset_version": partitions.dataset_date(self.week), "dataset_digest": newest.digest})
        base = common.fetch_folder(self.lake, inputs.base, self.folder / "base")
        recipes = self.lake.fetch(inputs.recipes, RECIPES_FILE, self.folder)
        files += ["--model_base", str(base), "--recipes", str(recipes), "--output", str(work / "model")]
        files += ["--work", str(work / "checkpoints"), "--mlflow_run", run.run_id]
        where = common.services(self.mlflow, self.warehouse)
        programs.run_program(self.context, "platform_assets.planner.training", [*files, *words], where)
        return work / "model"

    def _tags(self, inputs: Inputs, base: Mapping[str, Any]) -> dict[str, str]:
        from platform_assets.core.source_code import git_sha
        from platform_assets.planner import registration

        return {
            "policy_id": registration.ensure_policy(self.warehouse.open()),
            "task": registration.TASK,
            "dataset_version": partitions.dataset_date(self.week),
            "dataset_digest": inputs.datasets[self.week].digest,
            "base_digest": base["digest"],
            "base_revision": base["revision"],
            "dagster_run_id": self.context.run.run_id,
            "dagster_asset": MODEL.to_user_string(),
            "dagster_partition": self.week,
            "git_sha": git_sha(),
        }

    def _metadata(
        self, made: Path, metrics: Mapping[str, Any], version: str, policy_version: int, link: str
    ) -> dict[str, Any]:
        from platform_assets.orchestration.metadata import image
        from platform_assets.planner import trained_model

        pictures = {path.stem: image(path.read_bytes(), path.stem) for path in sorted(made.glob("*.png"))}
        return {
            "mlflow_version": version, "policy_version": policy_version, "mlflow_run": dg.MetadataValue.url(link),
            **pictures, **trained_model.numbers(metrics),
        }  # fmt: skip


_DESCRIPTION = """The base model, fine-tuned (LoRA) on the accepted plans of the trailing weekly datasets, each pinned by its
digest; a program of its own that goes on where it was killed. Registered as `planner_model` and as a version of
`planner_policy`, to be judged on the week after."""
