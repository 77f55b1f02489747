"""What a replay is recorded as: which versions it compared, its means in exp.offline_replay_results, its pictures and table.

What does not belong here: scoring rows (`planner.replay`), the verdict (`planner.judgement`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import transform
from platform_assets.core.lake import Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.registry import PolicyVersion, Registry, ReplayResult
from platform_assets.core.tracking import DatasetReference, Run, Tracking
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import judgement, registration
from platform_assets.planner.plans import PlanError

EXPERIMENT = "offline_replay"
ACTIVE = -1
# Whatever decides a plan or a score.
_SOURCES = (
    "replay.py", "replay_inputs.py", "replay_rows.py", "training_rows.py", "model_documents.py", "scoring.py", "metrics.py", "edit_distance.py", "kitchen.py", "targets.py", "validator.py",
    "policies.py", "baselines.py", "plans.py", "plan_documents.py", "catalogue.py", "prompt.py", "decoding.py", "constrained_answer.py",
    "possible_recipes.py", "key_values.py", "roomy_cache.py", "language_model.py",
)  # fmt: skip
CODE_VERSION = transform.code_version(*(Path(__file__).parent / name for name in _SOURCES))
# Column of exp.offline_replay_results -> metric.
COLUMNS = {
    "plan_alignment_score": judgement.ALIGNMENT, "constraint_respect_score": judgement.RESPECT,
    "edit_distance_score": judgement.EDITS, "meal_diversity_score": judgement.DIVERSITY,
    "leftovers_utility_score": judgement.LEFTOVERS, "offline_eval_score": judgement.OFFLINE,
}  # fmt: skip


class NotRegistered(PlanError):
    """A model or version that the registries do not know; the message names what to run."""


@dataclass(frozen=True)
class Sides:
    """The two versions that a replay compares."""

    candidate: PolicyVersion
    baseline: PolicyVersion

    @property
    def model_version(self) -> str:
        """The candidate's version in MLflow."""
        return self.candidate.model_version or ""

    def document(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            name: {"id": side.id, "version": side.version, "model_version": side.model_version}
            for name, side in (("candidate", self.candidate), ("baseline", self.baseline))
        }

    def tags(self) -> dict[str, str]:
        """For an MLflow run."""
        return {
            "policy_id": self.candidate.policy_id,
            "model_name": registration.MODEL_NAME,
            "model_version": self.model_version,
            "policy_version": str(self.candidate.version),
            "baseline_version": str(self.baseline.version),
        }


def sides(warehouse: Warehouse, tracking: Tracking, model: Revision) -> Sides:
    """The version that a published model is, and the active one, with which it is compared.

    Raises NotRegistered when they are the same, or when the registries do not know the model.
    """
    fingerprint = str(model.lineage.details.get("fingerprint", ""))
    version = registration.registered(tracking, fingerprint)
    candidate = Registry(warehouse).version_of_model(registration.MODEL_NAME, version) if version else None
    if candidate is None:
        raise NotRegistered(
            f"the model of {model.address.partition} is no version of {registration.POLICY}: materialise planner/model of "
            "that week again"
        )
    if (
        registration.versions(tracking).all()[candidate.model_version or ""].get(registration.MODEL_DIGEST)
        != model.digest
    ):
        raise NotRegistered(
            f"the published model of {model.address.partition} is not the one that is registered as {registration.MODEL_NAME} "
            f"{candidate.model_version}: materialise planner/model of that week again, which publishes the registered one"
        )
    active = baseline(warehouse, ACTIVE)
    if active.id == candidate.id:
        raise NotRegistered(
            f"the model of {model.address.partition} is version {active.version} of {registration.POLICY}, the active one: "
            "there is no other to compare it with"
        )
    return Sides(candidate, active)


def baseline(warehouse: Warehouse, number: int) -> PolicyVersion:
    """The policy version of a number; ACTIVE is the active one, the newest where several are."""
    registration.ensure_policy(warehouse)
    versions = Registry(warehouse).versions(registration.POLICY)
    wanted = [each for each in versions if (each.status == "active" if number == ACTIVE else each.version == number)]
    if not wanted:
        known = ", ".join(f"{each.version} ({each.status})" for each in versions)
        raise NotRegistered(
            f"{registration.POLICY} has no {'active version' if number == ACTIVE else f'version {number}'}; it has {known}"
        )
    return wanted[-1]


def judge(summary: Mapping[str, Any], dataset_rows: int, scores: Path) -> list[Outcome]:
    """The checks of a replay."""
    excluded = sum(summary["excluded"].values())
    found = judgement.means(scores)["candidate"]
    reconciled = summary["rows"] + excluded == dataset_rows
    respect, raw = found[judgement.RESPECT], found[judgement.RAW_RESPECT]
    return [
        Outcome("rows_reconcile", reconciled, f"{summary['rows']:,} scored + {excluded:,} excluded of {dataset_rows:,} rows"),
        Outcome("constraint_respect", respect == 1.0, f"{respect:.2%} of the served plans keep every rule"),
        Outcome(
            "raw_violations", raw == 1.0,
            f"{1 - raw:.2%} of the proposed plans broke a rule; the validator made {found['interventions']:,.0f} changes",
            warning=True,
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """One finished replay: what was compared on which dataset, the scores' digest, and their means."""

    compared: Sides
    dataset_version: str
    dataset: DatasetReference
    digest: str
    """Of the rows of scores."""
    means: Mapping[str, Mapping[str, float]]
    summary: Mapping[str, Any]

    def tags(self) -> dict[str, str]:
        """By which its MLflow run is found again."""
        named = {"dataset_version": self.dataset_version, "digest": self.digest, "task": "replay"}
        return {**named, **self.compared.tags()}

    def log(self, run: Run, folder: Path) -> None:
        """Dataset, means, counts and pictures, on an MLflow run; pictures are written below `folder`."""
        run.log_dataset(self.dataset, "evaluation")
        run.log_metrics(
            {f"{side}_{name}": value for side, values in self.means.items() for name, value in values.items()}
        )
        run.log_metrics({name: value for name, value in self.summary.items() if type(value) is int})
        for name, picture in pictures(self.means, self.dataset_version, self.compared).items():
            (folder / name).write_bytes(picture)
            run.log_file(folder / name)

    def log_on_training(self, tracking: Tracking) -> None:
        """The candidate's means beside the losses of its training, where people compare trainings."""
        run = registration.run_of(tracking, self.compared.model_version)
        run.log_metrics({f"replay_{name}": value for name, value in self.means["candidate"].items()})

    def write(self, warehouse: Warehouse, run_id: str) -> None:
        """One row of exp.offline_replay_results; the same replay adds none."""
        scores = {f"{side}_{name}": value for side, values in self.means.items() for name, value in values.items()}
        scores |= {column: self.means["candidate"][metric] for column, metric in COLUMNS.items()}
        Registry(warehouse).record_replay(
            ReplayResult(
                self.compared.candidate.id, self.compared.baseline.id, self.dataset_version, self.dataset.digest,
                self.digest, run_id, scores, self.summary["rows"], self.summary["households"],
            )
        )  # fmt: skip


def pictures(means: Mapping[str, Mapping[str, float]], dataset_version: str, compared: Sides) -> dict[str, bytes]:
    """File name -> PNG."""
    from platform_assets.core.verdict_plots import means_plot

    named = {
        f"candidate: version {compared.candidate.version}": means["candidate"],
        f"baseline: version {compared.baseline.version}": means["baseline"],
    }
    return {"replay.png": means_plot(named, f"Replay of the week up to {dataset_version}, means over the same rows")}


def table(means: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: a metric a row, a policy a column."""
    names = list(dict.fromkeys(name for values in means.values() for name in values))
    lines = [f"| metric | {' | '.join(means)} |", "|---|" + "---:|" * len(means)]
    for name in names:
        cells = [f"{values[name]:.4f}" if name in values else "" for values in means.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
