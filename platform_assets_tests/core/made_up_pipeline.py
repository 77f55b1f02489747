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

from platform_assets.core import compared as comparing
from platform_assets.core import weekly_replay
from platform_assets.core.compared import Sides
from platform_assets.core.comparison import Comparison, Metric, Thresholds
from platform_assets.core.gate import decide
from platform_assets.core.lake import Address, Lake, Lineage, Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.registered_model import RegisteredModel
from platform_assets.core.registry import PolicyVersion
from platform_assets.core.replay_record import Means, Recorded
from platform_assets.core.step import Step
from platform_assets.core.tracking import DatasetReference, Tracking
from platform_assets.core.trained_on import TrainedOn
from platform_assets.core.verdict import Verdict
from platform_assets.core.warehouse import Warehouse
from platform_assets.core.weekly_replay import Scored, WeeklyReplay
from platform_assets.core.weekly_training import WeeklyTraining
from platform_assets.core.weekly_verdict import Gate, WeeklyVerdict

SCORES, WEEK = "scores.parquet", "2026-01-05"
DRAWN = b"\x89PNG a picture"
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


@dataclass(frozen=True)
class Replayable:
    """What a replay reads: a published model."""

    model: Revision

    @property
    def revisions(self) -> list[Revision]:
        return [self.model]


def pack(folder: Path, target: Path) -> None:
    """The folder where a packed model has it, without MLflow's files around."""
    shutil.copytree(folder, target / "artifacts" / "model")


def open_tracking(server: str, folder: Path) -> Tracking:
    """MLflow's own database, empty so far."""
    found = Tracking(server.replace("postgresql://", "postgresql+psycopg://", 1))
    found.create_experiments(folder)
    return found


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
    replayed: list[dict[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

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
            self.tracking.finished_run, self.said.append,
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

    def replay(self, model: Revision, unaskable: str = "", rows: int | None = None, **options: str) -> Replaying:
        """The week's replay of a model; `unaskable`: why nobody can ask the active version. Its dataset may know its rows."""
        address = Address(f"{self.name}/scores", WEEK)
        made = weekly_replay_of(self.model)(self.step(), Replayable(model), address, options)
        made.unaskable, made.known_rows = unaskable, rows
        return made

    def recorded(self, compared: Sides, digest: str, means: Mapping[str, Mapping[str, float]]) -> Recorded:
        """A replay's record."""
        dataset = DatasetReference(f"{self.name}/{WEEK}", "d" * 32, "file:///lake", 60)
        summary = {"rows": 60, "customers": CUSTOMERS, "answers": {}}
        return record_of(self.model)(compared, WEEK, dataset, digest, means, summary)

    def publish_scores(self, compared: Sides, better_by: float, replayed: Mapping[str, Any] | None = None) -> Revision:
        """A replay in which the candidate is better in every row by so much, as the lake has it."""
        file = self.folder / SCORES
        write_scores(file, better_by)
        address, summary = Address(f"{self.name}/scores", WEEK), {"answers": {"candidate": replayed or {}}}
        scored = Scored(file, summary, [Outcome("reconciled", True, "60 of 60")], "1")
        before = self.lake.current(address)
        return weekly_replay.publish(self.step(), address, [], compared, scored, before).revision

    def verdict(self, scores: Revision) -> WeeklyVerdict:
        """The week's verdict on published scores."""
        address = Address(f"{self.name}/policy_version", WEEK)
        return weekly_verdict(self.model)(self.step(), scores, date.fromisoformat(WEEK), address, LIMITS)

    def activate(self, number: int) -> None:
        """As a promotion leaves the registry."""
        with self.warehouse.connect() as connection:
            connection.execute(
                "UPDATE exp.policy_versions SET status = CASE WHEN version = %s THEN 'active' ELSE 'deprecated' END"
                " WHERE policy_id = (SELECT id FROM exp.policies WHERE name = %s)", [number, self.model.policy],
            )  # fmt: skip

    def replays(self) -> list[tuple]:
        """On record: versions, status, offline_eval_score, rows, clusters, error."""
        with self.warehouse.connect() as connection:
            return connection.execute(
                "SELECT v.version, b.version, r.status, r.offline_eval_score, r.n_rows, r.n_households, r.error_message"
                " FROM exp.offline_replay_results AS r JOIN exp.policy_versions AS v ON v.id = r.policy_version_id"
                " JOIN exp.policy_versions AS b ON b.id = r.baseline_version_id"
                " JOIN exp.policies AS p ON p.id = v.policy_id WHERE p.name = %s ORDER BY r.created_at", [self.model.policy],
            ).fetchall()  # fmt: skip

    def _program(self, module: str, words: Sequence[str]) -> dict[str, Any]:
        options = dict(zip(words[::2], words[1::2], strict=True))
        if module == "made.up.replay":
            self.replayed.append(options)
            return self._replay(Path(options["--output"]))
        assert module == "made.up.training"
        self.trained.append(words)
        output = Path(options["--output"])
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        number = float(Path(options["--text"]).read_text())
        (output / "metrics.json").write_text(json.dumps({"number": number}))
        fingerprint = f"{self.name} {number:g} {options.get('--times', '1')}"
        return {"folder": str(output), "fingerprint": fingerprint, "metrics": {"number": number}, **self.told}

    def _replay(self, output: Path) -> dict[str, Any]:
        output.mkdir(parents=True)
        write_scores(output / SCORES, 0.05)
        (output / "summary.json").write_text("{}")
        (output / "by_day.png").write_bytes(DRAWN)
        tables = {"day": {WEEK: 1}}
        return {"rows": 2 * CUSTOMERS, "customers": CUSTOMERS, "answers": {}, "tables": tables, **self.told}


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


class Replaying(WeeklyReplay[Replayable]):
    """The part of a week's replay that is the pipeline's own."""

    program, scores, beside, code_version = "made.up.replay", SCORES, ("summary.json",), "7"
    unaskable: str
    known_rows: int | None

    @property
    def dataset(self) -> DatasetReference:
        return DatasetReference(f"{self.recorded.model.model_name}/{WEEK}", "d" * 32, "file:///lake", self.known_rows)

    def sides(self) -> Sides:
        found = super().sides()
        if not self.unaskable:
            return found
        return comparing.pass_over(found, self.step.warehouse, self.recorded.model, self.unaskable)

    def where(self, sides: Sides) -> Mapping[str, str | None]:
        return {"model": self.inputs.model.digest, "baseline": str(sides.baseline.version)}

    def judge(self, summary: Mapping[str, Any]) -> list[Outcome]:
        return [Outcome("reconciled", summary["rows"] == 2 * CUSTOMERS, "60 of 60")]

    def means(self, scores: Path) -> Means:
        table = pq.read_table(scores)
        return {side: {"hit": sum(table[f"{side}_hit"].to_pylist()) / len(table)} for side in ("candidate", "baseline")}


def weekly_replay_of(made: RegisteredModel) -> type[Replaying]:
    """Of one model."""

    class Guessed(Replaying):
        recorded = record_of(made)

    return Guessed


def write_scores(file: Path, better_by: float) -> None:
    """Two rows a customer."""
    rows = range(2 * CUSTOMERS)
    table = {
        "row": [f"r{each}" for each in rows],
        "customer": [f"c{each % CUSTOMERS}" for each in rows],
        "baseline_hit": [0.5 + each % 7 / 100 for each in rows],
    }
    table["candidate_hit"] = [value + better_by for value in table["baseline_hit"]]
    pq.write_table(pa.table(table), file)


def record_of(made: RegisteredModel) -> type[Recorded]:
    """The pipeline's own part of a replay's record."""

    class Guesses(Recorded):
        model, clusters, columns = made, "customers", {"offline_eval_score": "hit"}

    return Guesses


def weekly_verdict(made: RegisteredModel) -> type[WeeklyVerdict]:
    """The pipeline's own part of a verdict."""

    class Judgement(WeeklyVerdict):
        gate = Gate(made, SCORES, judge, "1", "answers", {"dtype"})

        def why_not_asked(self, version: PolicyVersion) -> str:
            return "was made up otherwise"

    return Judgement


def judge(scores: Path, candidate: str, baseline: str, limits: Thresholds, digests: Mapping[str, str]) -> Verdict:
    """One metric, clustered by customer."""
    assert candidate != baseline
    columns = pq.read_table(scores).to_pydict()
    sides = ({"hit": columns[f"{side}_hit"]} for side in ("candidate", "baseline"))
    return decide(Comparison(columns["row"], columns["customer"], *sides), [Metric("hit", 0.01)], limits, digests)
