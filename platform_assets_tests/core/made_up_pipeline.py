"""A pipeline of ten lines, which trains a number and is judged on it: what `core` does for every pipeline, without one of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core import weekly_replay
from platform_assets.core.compared import Sides
from platform_assets.core.comparison import Comparison, Metric, Thresholds
from platform_assets.core.gate import decide
from platform_assets.core.lake import Address, Lake, Lineage, Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.registered_model import RegisteredModel
from platform_assets.core.replay_record import Recorded
from platform_assets.core.step import Step
from platform_assets.core.tracking import DatasetReference, Tracking
from platform_assets.core.trained_on import TrainedOn
from platform_assets.core.verdict import Verdict
from platform_assets.core.warehouse import Warehouse
from platform_assets.core.weekly_replay import Scored
from platform_assets.core.weekly_training import WeeklyTraining
from platform_assets.core.weekly_verdict import Gate, WeeklyVerdict

SCORES, WEEK = "scores.parquet", "2026-01-05"
LIMITS = Thresholds("demo", minimum_rows=40, minimum_clusters=10, cluster="customer")
CUSTOMERS = 30
DEFAULTS = {"answers": {"dtype": "float32", "batch_size": 1}}


@dataclass(frozen=True)
class Inputs:
    """What is read: one published text."""

    text: Revision

    @property
    def revisions(self) -> list[Revision]:
        return [self.text]


def pack(folder: Path, target: Path) -> None:
    """The folder where a packed model has it, without MLflow's files around."""
    shutil.copytree(folder, target / "artifacts" / "model")


def registered_model(name: str) -> RegisteredModel:
    """A model and policy of their own."""
    zero = {"policy": "always 0"}
    return RegisteredModel(name, f"{name}_policy", "numbers", "world_model_training", "guessing", lambda: zero, pack)


@dataclass
class World:
    """One pipeline's services and its program, which counts how often it ran."""

    name: str
    lake: Lake
    tracking: Tracking
    warehouse: Warehouse
    folder: Path
    trained: list[Sequence[str]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    """What the program says beyond its result."""

    @property
    def model(self) -> RegisteredModel:
        return registered_model(self.name)

    def step(self, partition: str = WEEK) -> Step:
        """A step as an orchestrator would hand it out."""
        scratch = self.folder / f"scratch-{len(list(self.folder.glob('scratch-*')))}"
        scratch.mkdir(parents=True)
        return Step(
            partition, "a run", scratch, self.lake, self.tracking, self.warehouse, self._program,
            lambda experiment, tags: self.tracking.run(experiment, partition, tags),
            self.tracking.finished_run, lambda line: None,
        )  # fmt: skip

    def training(self, written: str = "7", **given: str) -> WeeklyTraining[Inputs]:
        """This week's training on a text."""
        file = self.folder / "text.txt"
        file.write_text(written)
        lineage = Lineage(inputs=(), code_version="1", run_id="a run", details={})
        published = self.lake.publish_files(Address(f"{self.name}/text", WEEK), {"text.txt": file}, lineage)
        address = Address(f"{self.name}/model", WEEK)
        work = self.folder / "work"
        return weekly_model(self.model)(self.step(), Inputs(published.revision), address, given, work)

    def recorded(self, compared: Sides, digest: str, means: Mapping[str, Mapping[str, float]]) -> Recorded:
        """A replay's record."""
        dataset = DatasetReference(f"{self.name}/{WEEK}", "d" * 32, "file:///lake", 60)
        summary = {"rows": 60, "customers": CUSTOMERS, "answers": {}}
        return record_of(self.model)(compared, WEEK, dataset, digest, means, summary)

    def publish_scores(self, compared: Sides, better_by: float, replayed: Mapping[str, Any] | None = None) -> Revision:
        """A replay in which the candidate is better in every row by so much, as the lake has it."""
        rows = range(2 * CUSTOMERS)
        table = {
            "row": [f"r{each}" for each in rows],
            "customer": [f"c{each % CUSTOMERS}" for each in rows],
            "baseline_hit": [0.5 + each % 7 / 100 for each in rows],
        }
        table["candidate_hit"] = [value + better_by for value in table["baseline_hit"]]
        file = self.folder / SCORES
        pq.write_table(pa.table(table), file)
        address, summary = Address(f"{self.name}/scores", WEEK), {"answers": {"candidate": replayed or {}}}
        scored = Scored(file, summary, [Outcome("reconciled", True, "60 of 60")], "1")
        before = self.lake.current(address)
        return weekly_replay.publish(self.step(), address, [], compared, scored, before).revision

    def verdict(self, scores: Revision) -> WeeklyVerdict:
        """The week's verdict on published scores."""
        address = Address(f"{self.name}/policy_version", WEEK)
        return weekly_verdict(self.model)(self.step(), scores, date.fromisoformat(WEEK), address, LIMITS)

    def _program(self, module: str, words: Sequence[str]) -> dict[str, Any]:
        assert module == "made.up.training"
        self.trained.append(words)
        options = dict(zip(words[::2], words[1::2], strict=True))
        output = Path(options["--output"])
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        number = float(Path(options["--text"]).read_text())
        (output / "metrics.json").write_text(json.dumps({"number": number}))
        fingerprint = f"{self.name} {number:g} {options.get('--times', '1')}"
        return {"folder": str(output), "fingerprint": fingerprint, "metrics": {"number": number}, **self.told}


def weekly_model(made: RegisteredModel) -> type[WeeklyTraining[Inputs]]:
    """The pipeline's own part of a week's training."""

    class Guessing(WeeklyTraining[Inputs]):
        model, program, code_version = made, "made.up.training", "1"
        decided, decided_by = frozenset({"text"}), "the week"

        def resolve(self) -> tuple[Mapping[str, str], str]:
            number = float(self.step.lake.read_side(self.inputs.text, "text.txt"))
            return self.given, f"{made.model_name} {number:g} {self.given.get('times', '1')}"

        def fetch(self) -> list[str]:
            return ["--text", str(self.step.lake.fetch(self.inputs.text, "text.txt", self.step.folder))]

        def trained_on(self) -> TrainedOn:
            text = self.inputs.text
            return TrainedOn([DatasetReference(f"text/{WEEK}", text.digest, text.uri)], {"language": "none"})

        def options_on_record(self) -> Any:
            return dict(self.options)

        def judge(self, metrics: Mapping[str, Any]) -> list[Outcome]:
            return [Outcome("is_positive", metrics["number"] > 0, "above 0")]

        def serving_defaults(self, folder: Path) -> Mapping[str, Any]:
            return DEFAULTS

    return Guessing


def record_of(made: RegisteredModel) -> type[Recorded]:
    """The pipeline's own part of a replay's record."""

    class Guesses(Recorded):
        model, clusters, columns = made, "customers", {"offline_eval_score": "hit"}

    return Guesses


def weekly_verdict(made: RegisteredModel) -> type[WeeklyVerdict]:
    """The pipeline's own part of a verdict."""

    class Judgement(WeeklyVerdict):
        gate = Gate(made, SCORES, judge, "1", "answers", {"dtype"})

    return Judgement


def judge(scores: Path, candidate: str, baseline: str, limits: Thresholds, digests: Mapping[str, str]) -> Verdict:
    """One metric, clustered by customer."""
    assert candidate != baseline
    columns = pq.read_table(scores).to_pydict()
    sides = ({"hit": columns[f"{side}_hit"]} for side in ("candidate", "baseline"))
    return decide(Comparison(columns["row"], columns["customer"], *sides), [Metric("hit", 0.01)], limits, digests)
