"""One week's model, from pinned inputs to a registered version: trained, published, registered, each at most once.

Every step finds what an earlier try left behind, so that a kill anywhere is mended by running it again. A pipeline's own
WeeklyTraining says what is read, with which options, and what comes of it. What does not belong here: training itself (a
program of the pipeline), what is registered and how (`core.registered_model`).
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from platform_assets.core.folders import fetch_folder, files_of
from platform_assets.core.lake import Address, Lineage, Publication, Revision
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.registered_model import MODEL_DIGEST, RegisteredModel
from platform_assets.core.step import Step, words
from platform_assets.core.tracking import Run
from platform_assets.core.trained_on import TrainedOn
from platform_assets.core.training_metrics import Shown, numbers, read_metrics

# Where a program writes and reports: decided here, whatever is trained.
_WHERE = frozenset({"output", "work", "mlflow_run", "register"})


class OtherTraining(RuntimeError):
    """The program trained something else than what was pinned."""


class PinnedOption(ValueError):
    """An option was given that the pinned inputs decide."""


class Pinned(Protocol):
    """The revisions that a training reads, under whatever names the pipeline gives them."""

    @property
    def revisions(self) -> Sequence[Revision]:
        """All of them."""
        ...


Inputs = TypeVar("Inputs", bound=Pinned)


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
    shown: Shown


@dataclass
class WeeklyTraining(ABC, Generic[Inputs]):
    """`given` are options of the training's command line, `work` is where its state is kept.

    The program takes `--output` (the model folder, there whole or not at all, with a metrics.json), `--work` (its checkpoints)
    and `--mlflow_run`, and tells its `fingerprint`.
    """

    model: ClassVar[RegisteredModel]
    program: ClassVar[str]
    """Its module."""
    code_version: ClassVar[str]
    """Of all that decides what is trained."""
    decided: ClassVar[frozenset[str]]
    """Options of the program that the inputs decide."""
    decided_by: ClassVar[str]
    """What decides them, for whoever gives one all the same."""

    step: Step
    inputs: Inputs
    address: Address
    given: Mapping[str, str]
    work: Path
    options: Mapping[str, str] = field(init=False)
    """As the program is given them: `given`, and what was resolved."""
    fingerprint: str = field(init=False)
    _before: Revision | None = field(init=False)

    def __post_init__(self) -> None:
        """Read what the lake holds of this week, and which training it will be; ValueError for an option."""
        if pinned := sorted((_WHERE | self.decided) & self.given.keys()):
            raise PinnedOption(
                f"{', '.join(pinned)}: decided by {self.decided_by}, and no option of {self.address.asset}"
            )
        self._before = self.step.lake.current(self.address)
        self.options, self.fingerprint = self.resolve()

    @abstractmethod
    def resolve(self) -> tuple[Mapping[str, str], str]:
        """(`given` and whatever this machine decides of what is left open, the training's fingerprint).

        The program may run on a machine that would decide otherwise. Raises ValueError for an option.
        """

    @abstractmethod
    def fetch(self) -> list[str]:
        """Bring the inputs to this machine; returns the words of the command line that name them."""

    @abstractmethod
    def trained_on(self) -> TrainedOn:
        """The inputs, as a training without an asset says them too."""

    @abstractmethod
    def options_on_record(self) -> Any:
        """The options as the lineage keeps them, advice included."""

    @abstractmethod
    def judge(self, metrics: Mapping[str, Any]) -> list[Outcome]:
        """The checks of what was trained; kept in the manifest."""

    @abstractmethod
    def serving_defaults(self, folder: Path) -> Mapping[str, Any]:
        """What the policy version says of how the model is served."""

    def show(self, metrics: Mapping[str, Any]) -> Shown:
        """What people see first: every number, where a pipeline with many does not choose."""
        return Shown(numbers(metrics))

    def produce(self) -> Trained:
        """Train, publish, register; or find that all of it was done."""
        step, model, work = self.step, self.model, self.work / self.fingerprint
        version = model.registered(step.tracking, self.fingerprint)
        if version:
            # Registered is the last thing that a training does: there is one model of a fingerprint, and this is it.
            made = self._published(version) or model.fetch_model(step.tracking, version, step.folder / "registered")
            publication, run = self._publish(made), model.run_of(step.tracking, version)
        else:
            # Where only the registration is missing, what the killed training left makes it quick, and the run complete.
            with step.tracking_run(model.experiment, self._all_tags()) as run:
                made = self._train(work, run)
                publication = self._publish(made)
                version = self._register(made, publication, run)
        known = model.register_policy_versions(step.tracking, step.warehouse)[version]
        metrics = read_metrics(made)
        agreement = model.judge_agreement(step.tracking, step.warehouse, "registered")
        shutil.rmtree(work, ignore_errors=True)
        # As published: where the program wrote it, it is gone now.
        made = fetch_folder(step.lake, publication.revision, step.folder / "published")
        outcomes = [*self.judge(metrics), agreement]
        return Trained(publication, made, metrics, run, version, known.version, outcomes, self.show(metrics))

    def _published(self, version: str) -> Path | None:
        """What the lake holds of this week, where it is what was registered."""
        if self._before is None or self._before.digest != self.model.digest_of(self.step.tracking, version):
            return None
        self.step.say("the same inputs and options were trained before: the published model is taken")
        return fetch_folder(self.step.lake, self._before, self.step.folder / "model")

    def _train(self, work: Path, run: Run) -> Path:
        """Run the program, or go on where a killed one stopped; returns the model folder."""
        where = {"output": str(work / "model"), "work": str(work / "checkpoints"), "mlflow_run": run.run_id}
        self.trained_on().log(run)
        told = self.step.run_program(self.program, [*self.fetch(), *words({**where, **self.options})])
        if told["fingerprint"] != self.fingerprint:
            raise OtherTraining(
                f"the program trained {told['fingerprint'][:12]}, not {self.fingerprint[:12]}: its inputs, code or libraries "
                "are not this step's; run the step where the program runs, with the same version of both"
            )
        return work / "model"

    def _publish(self, made: Path) -> Publication:
        judged = to_details(self.judge(read_metrics(made)))
        lineage = Lineage(
            inputs=tuple(revision.as_input() for revision in self.inputs.revisions),
            code_version=self.code_version, run_id=self.step.run_id,
            details={"fingerprint": self.fingerprint, "options": self.options_on_record(), "checks": judged},
        )  # fmt: skip
        return self.step.lake.publish_files(self.address, files_of(made), lineage, expected=self._before)

    def _register(self, made: Path, publication: Publication, run: Run) -> str:
        tags = {**self._all_tags(), MODEL_DIGEST: publication.revision.digest}
        defaults = self.serving_defaults(made)
        return self.model.register(self.step.tracking, run, made, self.fingerprint, tags, defaults)

    def _all_tags(self) -> dict[str, str]:
        return {
            **self.model.tags(self.step.warehouse, self.fingerprint),
            **self.trained_on().tags(),
            "dagster_run_id": self.step.run_id,
            "dagster_asset": self.address.asset,
            "dagster_partition": self.step.partition,
        }
