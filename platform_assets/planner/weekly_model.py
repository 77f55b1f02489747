"""One week's model, from pinned inputs to a registered version: trained, published, registered, each at most once.

Every step finds what an earlier try left behind, so that a kill anywhere is mended by running it again. What does not belong
here: training itself (`planner.training`, a program), what is registered and how (`planner.registration`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platform_assets.core.folders import fetch_dataset, fetch_folder, files_of
from platform_assets.core.lake import Address, Lineage, Publication, Revision
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.step import Step, words
from platform_assets.core.tracking import DatasetReference, Run
from platform_assets.planner import registration, trained_model, training_options, training_record
from platform_assets.planner.catalogue import RECIPES
from platform_assets.planner.model_documents import BASE, BaseModel

PROGRAM = "platform_assets.planner.training"
# Where things lie decides nothing; the program's parser asks for it.
_SOMEWHERE = {"dataset": ".", "model_base": ".", "recipes": ".", "output": "."}
_PINNED = {*_SOMEWHERE, "revision", "tiny_steps", "work", "mlflow_run", "register"}


class OtherTraining(RuntimeError):
    """The program trained something else than what was pinned."""


class PinnedOption(ValueError):
    """An option was given that the pinned inputs decide."""


@dataclass(frozen=True)
class Inputs:
    """The pinned revisions that a week's training reads; `datasets` oldest first, the newest is the week's own."""

    datasets: tuple[Revision, ...]
    recipes: Revision
    base: Revision

    @property
    def revisions(self) -> list[Revision]:
        """All of them."""
        return [*self.datasets, self.recipes, self.base]


@dataclass(frozen=True)
class Trained:
    """What a week's training became."""

    publication: Publication
    folder: Path
    metrics: Mapping[str, Any]
    run: Run
    model_version: str
    """In MLflow."""
    policy_version: int
    outcomes: Sequence[Outcome]


@dataclass
class WeeklyModel:
    """`given` are options of the training's command line that go before the base's own advice; `work` is where its state is kept."""

    step: Step
    inputs: Inputs
    address: Address
    given: Mapping[str, str]
    work: Path
    _base: BaseModel = field(init=False)
    _options: Mapping[str, str] = field(init=False)
    _fingerprint: str = field(init=False)
    _before: Revision | None = field(init=False)

    def __post_init__(self) -> None:
        """Read what is pinned, what the lake holds of this week, and which training it will be; ValueError for an option."""
        if pinned := sorted(_PINNED & self.given.keys()):
            raise PinnedOption(
                f"{', '.join(pinned)}: decided by the week and by planner/base_model, and no option of planner/model"
            )
        self._base = BaseModel.from_document(json.loads(self.step.lake.read_side(self.inputs.base, BASE)))
        self._before = self.step.lake.current(self.address)
        options = trained_model.read_options(words({**_SOMEWHERE, **self.given}), self._base.model_base)
        # As it was resolved for the fingerprint: the program may run on a machine that would choose another.
        self._options = {**self.given, **training_options.pinned(options)}
        digests = sorted(each.digest for each in self.inputs.datasets)
        self._fingerprint = training_options.fingerprint(
            options, digests, self._base.identity, self.inputs.recipes.digest
        )

    def produce(self) -> Trained:
        """Train, publish, register; or find that all of it was done."""
        step, work = self.step, self.work / self._fingerprint
        version = registration.registered(step.tracking, self._fingerprint)
        if version:
            # Registered is the last thing that a training does: there is one model of a fingerprint, and this is it.
            made = self._published(version) or registration.fetch_model(
                step.tracking, version, step.folder / "registered"
            )
            publication, run = self._publish(made), registration.run_of(step.tracking, version)
        else:
            # Where only the registration is missing, what the killed training left makes it quick, and the run complete.
            with step.tracking_run(registration.EXPERIMENT, self._tags()) as run:
                made = self._train(work, run)
                publication = self._publish(made)
                version = self._register(made, publication, run)
        known = registration.register_policy_versions(step.tracking, step.warehouse)[version]
        metrics = trained_model.read_metrics(made)
        agreement = registration.judge_agreement(step.tracking, step.warehouse, "registered")
        shutil.rmtree(work, ignore_errors=True)
        outcomes = [trained_model.judge_loss(metrics), agreement]
        return Trained(publication, made, metrics, run, version, known.version, outcomes)

    def _published(self, version: str) -> Path | None:
        """What the lake holds of this week, where it is what was registered."""
        digest = registration.versions(self.step.tracking).all()[version].get(registration.MODEL_DIGEST)
        if self._before is None or self._before.digest != digest:
            return None
        self.step.say("the same rows, base and options were trained before: the published model is taken")
        return fetch_folder(self.step.lake, self._before, self.step.folder / "model")

    def _train(self, work: Path, run: Run) -> Path:
        """Run the program, or go on where a killed one stopped; returns the model folder."""
        step = self.step
        files: list[str] = []
        for revision in self.inputs.datasets:
            files += ["--dataset", str(fetch_dataset(step.lake, revision, step.folder))]
        training_record.log_datasets(run, self._references())
        where = {
            "model_base": str(fetch_folder(step.lake, self.inputs.base, step.folder / "base")),
            "recipes": str(step.lake.fetch(self.inputs.recipes, RECIPES, step.folder)),
            "output": str(work / "model"), "work": str(work / "checkpoints"), "mlflow_run": run.run_id,
        }  # fmt: skip
        told = step.run_program(PROGRAM, [*files, *words({**where, **self._options})])
        if told["fingerprint"] != self._fingerprint:
            raise OtherTraining(
                f"the program trained {told['fingerprint'][:12]}, not {self._fingerprint[:12]}: its inputs, code or libraries "
                "are not this step's; run the step where the program runs, with the same version of both"
            )
        return work / "model"

    def _publish(self, made: Path) -> Publication:
        judged = to_details([trained_model.judge_loss(trained_model.read_metrics(made))])
        lineage = Lineage(
            inputs=tuple(revision.as_input() for revision in self.inputs.revisions),
            code_version=training_options.CODE_VERSION, run_id=self.step.run_id,
            details={"fingerprint": self._fingerprint, "options": training_options.advised(words(self._options), self._base.model_base), "checks": judged},
        )  # fmt: skip
        return self.step.lake.publish_files(self.address, files_of(made), lineage, expected=self._before)

    def _register(self, made: Path, publication: Publication, run: Run) -> str:
        tags = {**self._tags(), registration.MODEL_DIGEST: publication.revision.digest}
        defaults = trained_model.serving_defaults(made)
        return registration.register(self.step.tracking, run, made, self._fingerprint, tags, defaults)

    def _tags(self) -> dict[str, str]:
        newest, base = self._references()[-1], self._base
        return {
            **training_record.tags(self.step.warehouse, self._fingerprint, newest, base.digest, base.revision),
            "dagster_run_id": self.step.run_id,
            "dagster_asset": self.address.asset,
            "dagster_partition": self.step.partition,
        }

    def _references(self) -> list[DatasetReference]:
        """The datasets, oldest first."""
        return [
            DatasetReference(each.address.path.removeprefix("datasets/"), each.digest, each.uri, each.rows)
            for each in self.inputs.datasets
        ]
