"""What a replay is recorded as: an MLflow run, a row of exp.offline_replay_results, and the table and pictures people read.

What does not belong here: which versions are compared (`core.compared`), scoring rows (a pipeline's business), the verdict
(`core.weekly_verdict`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from platform_assets.core.compared import Sides
from platform_assets.core.registered_model import RegisteredModel
from platform_assets.core.registry import Registry, ReplayResult
from platform_assets.core.step import ProgramFailed, Step
from platform_assets.core.tracking import DatasetReference, Run, Tracking
from platform_assets.core.warehouse import Warehouse

EXPERIMENT = "offline_replay"
Means = Mapping[str, Mapping[str, float]]
"""Side (candidate, baseline, and what else is shown beside them) -> metric -> mean over the same rows."""


@dataclass(frozen=True)
class Recorded:
    """One finished replay: what was compared on which dataset, the scores' digest, and their means.

    A pipeline's own says of which model, and where its numbers go.
    """

    model: ClassVar[RegisteredModel]
    columns: ClassVar[Mapping[str, str]] = {}
    """Column of exp.offline_replay_results -> the candidate's metric; every metric is in its `scores` anyway."""
    clusters: ClassVar[str]
    """The summary's count of the units whose rows hang together: households, customers."""

    compared: Sides
    dataset_version: str
    dataset: DatasetReference
    digest: str
    """Of the rows of scores."""
    means: Means
    summary: Mapping[str, Any]
    """Its whole numbers are logged; `rows` is one of them."""

    @property
    def days(self) -> str:
        """What was replayed, for a title."""
        return f"the week up to {self.dataset_version}"

    def tags(self) -> dict[str, str]:
        """By which its MLflow run is found again."""
        named = {"dataset_version": self.dataset_version, "digest": self.digest, "task": "replay"}
        return {**named, **self.compared.tags()}

    def pictures(self) -> dict[str, bytes]:
        """File name -> PNG."""
        return pictures(self.means, self.days, self.compared)

    def keep(self, step: Step) -> Run:
        """One run in the tracking server and one row of exp.offline_replay_results for these scores, whoever asks how often."""
        tags = self.tags()
        run = step.finished_run(EXPERIMENT, tags)
        if run is None:
            with step.tracking_run(EXPERIMENT, tags) as run:
                self.log(run, step.folder)
                self.log_on_training(step.tracking)
        self.write(step.warehouse, run.run_id)
        return run

    def log(self, run: Run, folder: Path) -> None:
        """Dataset, means, counts and pictures, on an MLflow run; pictures are written below `folder`."""
        run.log_dataset(self.dataset, "evaluation")
        run.log_metrics(_by_side(self.means))
        run.log_metrics({name: value for name, value in self.summary.items() if type(value) is int})
        for name, picture in self.pictures().items():
            (folder / name).write_bytes(picture)
            run.log_file(folder / name)

    def log_on_training(self, tracking: Tracking) -> None:
        """The candidate's means beside the losses of its training, where people compare trainings."""
        run = self.model.run_of(tracking, self.compared.model_version)
        run.log_metrics({f"replay_{name}": value for name, value in self.means["candidate"].items()})

    def write(self, warehouse: Warehouse, run_id: str) -> None:
        """One row of exp.offline_replay_results; the same replay adds none."""
        scores = _by_side(self.means)
        scores |= {column: self.means["candidate"][metric] for column, metric in self.columns.items()}
        Registry(warehouse).record_replay(
            ReplayResult(
                self.compared.candidate.id, self.compared.baseline.id, self.dataset_version, self.dataset.digest,
                self.digest, run_id, scores, self.summary["rows"], self.summary[self.clusters],
            )
        )  # fmt: skip


def run_program(
    step: Step, program: str, words: Sequence[str], compared: Sides, dataset_version: str, dataset_digest: str
) -> dict[str, Any]:
    """Run a replay's program; what it says of a failure is kept beside the replays that succeeded. Raises what it raises."""
    try:
        return step.run_program(program, words)
    except ProgramFailed as error:
        failed = ReplayResult(
            compared.candidate.id, compared.baseline.id, dataset_version, dataset_digest, error_message=str(error)
        )
        Registry(step.warehouse).record_replay(failed)
        raise


def pictures(means: Means, days: str, compared: Sides) -> dict[str, bytes]:
    """File name -> PNG. `days` are what was replayed."""
    from platform_assets.core.verdict_plots import means_plot

    named = {
        f"candidate: version {compared.candidate.version}": means["candidate"],
        f"baseline: version {compared.baseline.version}": means["baseline"],
    }
    return {"replay.png": means_plot(named, f"Replay of {days}, means over the same rows")}


def table(means: Means) -> str:
    """Markdown: a metric a row, a policy a column."""
    names = list(dict.fromkeys(name for values in means.values() for name in values))
    lines = [f"| metric | {' | '.join(means)} |", "|---|" + "---:|" * len(means)]
    for name in names:
        cells = [f"{values[name]:.4f}" if name in values else "" for values in means.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_side(means: Means) -> dict[str, float]:
    return {f"{side}_{name}": value for side, values in means.items() for name, value in values.items()}
