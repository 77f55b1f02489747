"""A week's replay from published inputs to its verdict: with which version a model is compared, and what is refused.

Lake, MLflow and Postgres are real, the model folders small. What every pipeline's replay does is `core/test_weekly_replay.py`'s.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from platform_assets.core.folders import files_of, folder_digest
from platform_assets.core.lake import Address, Lake, Lineage, Revision
from platform_assets.core.registered_model import MODEL_DIGEST, RegisteredModel
from platform_assets.core.registry import Registry
from platform_assets.core.step import ProgramFailed, Step
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import Warehouse
from platform_assets.query_predictor import (
    features_document,
    judgement,
    model_files,
    replay,
    replay_drift,
    replay_figures,
    trained_model,
)
from platform_assets.query_predictor.features_document import NUMBERS
from platform_assets.query_predictor.model_files import ModelError
from platform_assets.query_predictor.opened_model import OpenedModel
from platform_assets.query_predictor.registration import MODEL
from platform_assets.query_predictor.weekly_replay import Inputs, WeeklyReplay
from platform_assets.query_predictor.weekly_verdict import WeeklyVerdict
from platform_assets_tests.core.made_up_pipeline import open_tracking
from platform_assets_tests.query_predictor.small_features import WEEK
from platform_assets_tests.query_predictor.small_replay import BEFORE, SPLITS, ReplayedWeek, write_replayed

TOLD = (
    "the active version 1 cannot be asked, as it was trained on other features than this release makes: version 0 is compared "
    "with in its place"
)


@dataclass
class Platform:
    """Services that know two models, the first of an older release and active, a lake, and what steps said."""

    lake: Lake
    tracking: Tracking
    warehouse: Warehouse
    week: ReplayedWeek
    folder: Path
    said: list[str] = field(default_factory=list)

    def replay(self, features: Path | None = None) -> WeeklyReplay:
        """Of the second model."""
        inputs = Inputs(
            self._published("model", BEFORE, self.week.model, fingerprint="second"),
            self._published("features", BEFORE, self.week.trained.features),
            self._published("features", WEEK, features or self.week.week.features),
            self._published("training_sample", WEEK, self.week.sample, rows=labels(self.week.week.features)),
            self._published("zero_cost_categories", WEEK, self.week.week.zero_cost),
        )
        return WeeklyReplay(self.step(), inputs, Address("query_predictor/replay_scores", f"{WEEK}"), {})

    def verdict(self, scores: Revision) -> WeeklyVerdict:
        """By few rows."""
        address = Address("query_predictor/policy_version", f"{WEEK}")
        return WeeklyVerdict(self.step(), scores, WEEK, address, judgement.thresholds(20, 10, 100.0))

    def step(self) -> Step:
        """As an orchestrator would hand it out; programs run in this process."""
        folder = self.folder / f"step-{len(list(self.folder.glob('step-*')))}"
        folder.mkdir(parents=True)
        return Step(
            f"{WEEK}", "a run", folder, self.lake, self.tracking, self.warehouse, run_program,
            lambda experiment, tags: self.tracking.run(experiment, f"{WEEK}", tags),
            self.tracking.finished_run, self.said.append,
        )  # fmt: skip

    def recorded(self) -> list[tuple]:
        """Versions of every replay on record, and why it failed."""
        with self.warehouse.connect() as connection:
            return connection.execute(
                "SELECT v.version, b.version, r.status, r.error_message FROM exp.offline_replay_results AS r"
                " JOIN exp.policy_versions AS v ON v.id = r.policy_version_id"
                " JOIN exp.policy_versions AS b ON b.id = r.baseline_version_id ORDER BY r.created_at"
            ).fetchall()

    def _published(self, asset: str, week: date, path: Path, **details: Any) -> Revision:
        files = files_of(path) if path.is_dir() else {path.name: path}
        lineage = Lineage(inputs=(), code_version="1", run_id="a run", details=details)
        return self.lake.publish_files(Address(f"query_predictor/{asset}", f"{week}"), files, lineage).revision


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> ReplayedWeek:
    return write_replayed(tmp_path_factory.mktemp("weeks"))


@pytest.fixture(scope="module")
def services(
    week: ReplayedWeek,
    tmp_path_factory: pytest.TempPathFactory,
    module_empty_postgres_url: str,
    module_postgres_url: str,
) -> tuple[Tracking, Warehouse]:
    """Both models, registered."""
    tracking = open_tracking(module_empty_postgres_url, tmp_path_factory.mktemp("artefacts"))
    warehouse, older = Warehouse(module_postgres_url), tmp_path_factory.mktemp("older") / "model"
    MODEL.ensure_policy(warehouse)
    for name, folder in (("first", changed(week.model, older, numbers=list(NUMBERS[1:]))), ("second", week.model)):
        tags, defaults = {MODEL_DIGEST: folder_digest(folder)}, trained_model.serving_defaults(folder)
        with tracking.run(MODEL.experiment, name, {}) as run:
            MODEL.register(tracking, run, folder, name, tags, defaults)
    MODEL.register_policy_versions(tracking, warehouse)
    with warehouse.connect() as connection:
        connection.execute("UPDATE exp.policy_versions SET status = 'active' WHERE version = 1")
    return tracking, warehouse


@pytest.fixture
def platform(
    services: tuple[Tracking, Warehouse], week: ReplayedWeek, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Platform:
    """A lake of its own for every test, and no pictures: they take longer than the rest."""
    monkeypatch.setattr(replay_figures, "pictures", lambda *each: {})
    monkeypatch.setattr(replay_drift.Moved, "pictures", lambda *each: {})
    return Platform(Lake(tmp_path / "lake"), *services, week, tmp_path / "steps")


def run_program(module: str, words: Sequence[str]) -> dict[str, Any]:
    """The replay's program, which ends a process with what it refuses."""
    assert module == replay.PROGRAM
    try:
        return replay.replay(replay._parser().parse_args(words))
    except ModelError as error:
        raise ProgramFailed(str(error)) from None


def labels(features: Path) -> dict[str, dict[str, int]]:
    """Split -> label -> rows."""
    found = {}
    for name in SPLITS:
        heavy = pq.read_table(features / f"{name}_rows.parquet", columns=["is_heavy"])["is_heavy"]
        count = pc.call_function("sum", [heavy]).as_py()
        found[name] = {"heavy": count, "light": len(heavy) - count}
    return found


def changed(model: Path, target: Path, **changes: Any) -> Path:
    """A copy of a model that says something else of itself; nothing, where a change is None."""
    shutil.copytree(model, target)
    config = json.loads((target / model_files.CONFIG).read_text()) | changes
    said = {name: value for name, value in config.items() if value is not None}
    (target / model_files.CONFIG).write_text(json.dumps(said))
    return target


def active_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RegisteredModel, "fetch_model", lambda *each: folder)


def test_a_model_is_compared_with_the_rule_when_the_active_one_is_of_other_features_and_all_records_say_so(
    platform: Platform,
) -> None:
    replayed = platform.replay().produce()
    details = replayed.publication.revision.lineage.details
    assert [details[side]["version"] for side in ("candidate", "baseline", "passed_over")] == [2, 0, 1]
    assert details["passed_over"]["reason"] == TOLD
    assert platform.said == [TOLD]
    assert (details["summary"]["baseline"]["policy"], details["summary"]["prediction"]["baseline"]) == ("rule", {})
    assert platform.recorded() == [(2, 0, "completed", None)]

    judged = platform.verdict(replayed.publication.revision).produce()
    assert judged.note == TOLD
    assert judged.outcomes[-1].reason.endswith(f"; {TOLD}")
    statuses = {each.version: each.status for each in Registry(platform.warehouse).versions(MODEL.policy)}
    expected = {"pass": "candidate", "fail": "rejected", "inconclusive": "registered"}[judged.verdict.outcome]
    assert statuses == {0: "active", 1: "active", 2: expected}


OTHER_FEATURES = "was trained on other features than this release makes"


@pytest.mark.parametrize(
    ("change", "reason", "refused"),
    [
        ({"numbers": None}, OTHER_FEATURES, f"{OTHER_FEATURES}: train it again"),
        ({"definitions_version": 0}, OTHER_FEATURES, f"{OTHER_FEATURES}: train it again"),
        ({"version": 0}, "is of a release that writes its models in another form", "is of a release .*: train it again"),
    ],
    ids=["features not named", "features redefined", "another form"],
)  # fmt: skip
def test_an_active_model_of_another_release_gives_way_and_is_not_opened(
    change: dict[str, Any],
    reason: str,
    refused: str,
    platform: Platform,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active_is(changed(platform.week.model, tmp_path / "older", **change), monkeypatch)
    sides = platform.replay().sides()
    assert sides.baseline.version == 0
    assert sides.document()["passed_over"]["reason"] == TOLD.replace(OTHER_FEATURES, reason)
    with pytest.raises(ModelError, match=refused):
        OpenedModel.open(tmp_path / "older")


def test_an_active_model_of_these_features_is_asked(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active_is(changed(platform.week.model, tmp_path / "as_good"), monkeypatch)
    details = platform.replay().produce().publication.revision.lineage.details
    assert (details["baseline"]["version"], details["summary"]["baseline"]["policy"]) == (1, "model")
    assert "passed_over" not in details | details["summary"]
    assert platform.said == []


@pytest.mark.parametrize(
    ("lacks", "refused", "said"),
    [
        ("config.json", ModelError, "has no config.json: it is no query predictor"),
        ("model.onnx", ProgramFailed, r"is no whole query predictor .*: copy it again, or train it again"),
    ],
)
def test_an_active_model_that_is_not_whole_is_no_reason_to_compare_with_less(
    lacks: str, refused: type[Exception], said: str, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = changed(platform.week.model, tmp_path / "broken")
    (broken / lacks).unlink()
    active_is(broken, monkeypatch)
    replaying = platform.replay()
    with pytest.raises(refused, match=said):
        replaying.produce()
    assert platform.lake.current(replaying.address) is None


def test_features_that_say_they_are_of_another_week_are_refused(platform: Platform, tmp_path: Path) -> None:
    other = Path(shutil.copytree(platform.week.week.features, tmp_path / "features"))
    features_document.write(other, WEEK + timedelta(days=7))
    replaying = platform.replay(other)
    said = (
        f"the features of {WEEK} say that they are of 2026-02-23: materialise query_predictor/features of {WEEK} again"
    )
    with pytest.raises(ValueError, match=said):
        replaying.produce()
    assert platform.lake.current(replaying.address) is None
