"""The query predictor's training program as a function and as a command: what it writes, what makes two the same, what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from platform_assets.core.digest import sha256_of
from platform_assets.core.folders import folder_digest
from platform_assets.query_predictor import (
    onnx_model,
    registration,
    trained_model,
    training,
    training_inputs,
    training_options,
    training_record,
    training_summary,
)
from platform_assets.query_predictor.split_features import read_week
from platform_assets.query_predictor.threshold import Threshold, choose
from platform_assets.query_predictor.training_options import TrainingOptions, fingerprint
from platform_assets.query_predictor.zero_cost import ZeroCostCategories
from platform_assets.training.errors import TrainingError
from platform_assets.training.options import field_docs
from platform_assets.training.work_folder import WorkFolder
from platform_assets_tests.imported_sources import CORE_DECIDES_NOTHING, TRAINING_DECIDES_NOTHING, deciding_sources
from platform_assets_tests.query_predictor.small_features import WEEK, MadeUpWeek, write_week

FILES = {
    "model.onnx", "model.ubj", "threshold.json", "metrics.json", "tfidf.json", "zero_cost_categories.json", "config.json",
    "evaluation.json", "requirements.json", "history/history.json", "history/users.parquet", "history/catalogs.parquet",
    "history/schemas.parquet", "history/templates.parquet", "precision_recall.png", "calibration.png", "cost.png",
    "importance.png", "scores_by_template.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> MadeUpWeek:
    return write_week(tmp_path_factory.mktemp("week"))


@pytest.fixture(scope="module")
def trained(week: MadeUpWeek, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingOptions, Any, list[str]]:
    options, said = week.options(tmp_path_factory.mktemp("trained") / "model"), list[str]()
    return options, training.train(options, said.append), said


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def words(options: TrainingOptions) -> list[str]:
    """As a command line."""
    found = []
    for name, value in vars(options).items():
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            found += [f"--{name}", str(value)]
    return found


def test_a_training_leaves_a_whole_model_folder(trained: Any) -> None:
    options, result, said = trained
    found = contents(options.output)
    assert set(found) == FILES
    assert all(found[name].startswith(b"\x89PNG") for name in FILES if name.endswith(".png"))
    assert result.metrics == json.loads(found["metrics.json"])
    assert len(result.epochs) >= result.metrics["trees"]
    assert set(result.epochs[0]) == {"train_loss", "val_loss"}
    assert result.metrics["val_loss"] == min(each["val_loss"] for each in result.epochs)
    assert said[0].startswith("rows: train ")
    assert said[-1].startswith(f"requirements: {result.metrics['requirements']}; ")


def test_the_folder_says_what_training_measured(trained: Any, week: MadeUpWeek) -> None:
    options, result, _ = trained
    held = read_week(week.features).splits["validation"]
    rows, reaching = held.dense(held.all_rows), held.category != "show"
    scores = onnx_model.OnnxModel(options.output / "model.onnx").scores(rows)
    frozen = Threshold.read(options.output)
    assert frozen == choose(scores[reaching], held.is_heavy[reaching], 100, 1)
    assert frozen.value == result.metrics["threshold"]
    trees = xgboost.Booster(model_file=str(options.output / "model.ubj")).inplace_predict(rows)
    assert np.abs(trees - scores).max() <= 1e-5
    routed = frozen.routes(scores) & reaching
    assert result.metrics["validation_routed_share"] == routed.mean()
    assert result.metrics["validation_missed"] == (held.is_heavy & ~routed).sum()


def test_it_learns_beats_its_baselines_and_is_judged_on_test_days(trained: Any) -> None:
    _, result, _ = trained
    metrics = result.metrics
    assert metrics["val_loss"] < metrics["val_loss_untuned"]
    assert trained_model.judge_loss(metrics).passed
    assert trained_model.judge_onnx(metrics).passed
    assert not trained_model.judge_onnx({**metrics, "onnx_label_flips": 1}).passed
    outcomes = trained_model.judge_requirements(metrics)
    checks = trained_model.read_judgement(trained[0].output).checks
    assert [outcome.name for outcome in outcomes] == [check.name for check in checks]
    for outcome, check in zip(outcomes, checks, strict=True):
        assert outcome.passed is (check.status == "pass")
        assert outcome.reason == f"{check.status}: {check.reason}"
    assert metrics["test_auc"] > 0.9 > metrics["test_rule_auc"]
    certified = "routed_share_at_certified_recall"
    assert metrics[f"test_{certified}"] < metrics[f"test_fingerprint_{certified}"] < 1
    assert metrics["test_seen_templates_rows"] + metrics["test_unseen_templates_rows"] == metrics["test_rows"] == 2500
    judged = trained_model.read_judgement(trained[0].output)
    assert judged.outcome == metrics["requirements"]
    assert [check.name for check in judged.checks] == [
        "end_to_end_recall",
        "routed_share",
        "beats_fingerprint",
        "f1",
        "auc",
    ]
    assert judged.checks[1].value == metrics["test_routed_share"]


def test_what_people_see_first_is_what_was_measured(trained: Any) -> None:
    metrics = trained[1].metrics
    shown = training_summary.shown(metrics)
    assert set(shown.numbers) == set(training_summary.FOLLOWED)
    assert {**shown.numbers, **shown.document} == metrics
    assert [line.split(" | ")[0] for line in shown.tables["requirements"].splitlines()[2:]] == [
        f"| {check['name']}" for check in metrics["requirement_checks"]
    ]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown.tables["summary"].splitlines()]
    told = {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}
    assert told["recall, surely above"]["all"] == f"{metrics['test_recall_lower_bound']:.4f}"
    assert told["AUC"]["unseen templates"] == f"{metrics['test_unseen_templates_auc']:.4f}"
    assert told["queries"]["all"] == "2,500"
    share = metrics["test_fingerprint_routed_share_at_models_recall"]
    assert told["routed share"]["fingerprint at the same recall"] == f"{share:.4f}"
    assert all(cell for row in rows for cell in row)


def test_the_same_training_writes_the_same_bytes_wherever_it_runs(
    trained: Any, week: MadeUpWeek, tmp_path: Path
) -> None:
    options, result, _ = trained
    shutil.copytree(week.features, tmp_path / "moved")
    elsewhere = replace(options, features=tmp_path / "moved", output=tmp_path / "again", threads=2, memory_gb=1.0)
    assert training.train(elsewhere).fingerprint == result.fingerprint
    assert contents(elsewhere.output) == contents(options.output)


def test_the_asset_and_the_program_take_the_same_fingerprint(trained: Any, week: MadeUpWeek) -> None:
    options, result, _ = trained
    asked = trained_model.read_options(words(options))
    assert fingerprint(asked, folder_digest(week.features), sha256_of(week.zero_cost)) == result.fingerprint
    with pytest.raises(ValueError, match=r"--colour red is no option of python -m platform_assets\.query_predictor"):
        trained_model.read_options([*words(options), "--colour", "red"])
    defaults = trained_model.serving_defaults(options.output)
    assert defaults["prediction"]["threshold"] == result.metrics["threshold"]
    assert defaults["prediction"]["week"] == WEEK.isoformat()


def test_safe_categories_are_missed_before_the_model_and_dropped_ones_too(week: MadeUpWeek, tmp_path: Path) -> None:
    counted = ZeroCostCategories.from_json(week.zero_cost.read_text())
    last, before = (WEEK + timedelta(days=days) for days in (6, -1))
    # Of the week's own days and of safe categories alone: seven.
    dropped = {f"{WEEK}": {"show": 4, "select": 9}, f"{last}": {"show": 3}, f"{before}": {"show": 100}}
    told = tmp_path / "zero_cost_categories.json"
    told.write_text(replace(counted, dropped_heavy=dropped).to_json())
    plain = training.train(week.options(tmp_path / "plain", plots=False, cv_folds=0, zero_cost=told))
    assert plain.metrics["test_missed_before_the_model"] == 7
    assert plain.metrics["test_missed"] >= 7
    assert not list(plain.folder.glob("*.png"))
    assert not any(name.startswith("cv_") for name in plain.metrics)
    none_safe = write_week(tmp_path / "none", free={"select": (90_000, 2_000), "show": (20_000, 300)})
    found = training.train(none_safe.options(tmp_path / "all", plots=False, cv_folds=0))
    assert found.parameters["zero_cost_categories"] == ""
    assert found.metrics["test_missed_before_the_model"] == 0


def test_too_few_heavy_test_queries_leave_it_undecided(tmp_path: Path) -> None:
    few = write_week(tmp_path / "few", {"test": 500})
    result = training.train(few.options(tmp_path / "model", plots=False, cv_folds=0))
    assert result.metrics["test_heavy"] < 149
    judged = trained_model.read_judgement(result.folder)
    assert judged.checks[0].status == "inconclusive"
    assert "it takes 149 or more to be certain of 0.98" in judged.checks[0].reason
    assert "test_routed_share_at_certified_recall" not in result.metrics
    none = write_week(tmp_path / "none", {"test": 0})
    result = training.train(none.options(tmp_path / "empty", cv_folds=0))
    assert result.metrics["requirements"] == "inconclusive"
    assert (result.folder / "precision_recall.png").exists()
    # Nothing is newer than the validation days, and the week is the same.
    assert json.loads((result.folder / "config.json").read_text())["week"] == WEEK.isoformat()
    assert result.parameters["dataset_version"] == WEEK.isoformat()


def test_features_of_another_release_are_not_trained_on(
    week: MadeUpWeek, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(week.features, tmp_path / "features")
    document = json.loads((other / "features.json").read_text())
    (other / "features.json").write_text(json.dumps({**document, "numbers": document["numbers"][::-1]}))
    assert training.main(words(replace(week.options(tmp_path / "out"), features=other))) == 1
    said = r"error: .* of a release with other features \(in another order.*materialise query_predictor/features of its"
    assert re.match(said, capsys.readouterr().err.splitlines()[-1])


def test_splits_without_both_kinds_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    calm = write_week(tmp_path / "calm", heavy_odds=-90.0)
    with pytest.raises(TrainingError, match=r"train rows 0 are heavy, and training needs some of both kinds: name the"):
        training.train(calm.options(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_the_command_says_in_one_line_what_is_wrong(
    week: MadeUpWeek, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").touch()
    plain = week.options(tmp_path / "out")
    cases = {
        "holds no tfidf.json": replace(plain, features=tmp_path / "nothing"),
        "name the categories of the same week": replace(plain, zero_cost=tmp_path / "nothing.json"),
        "holds something else": replace(plain, output=tmp_path / "thesis"),
        "and --memory_gb is 0.001: raise it": replace(plain, memory_gb=0.001),
        "60 templates cannot make --cv_folds 99: lower it": replace(plain, cv_folds=99),
    }
    for expected, options in cases.items():
        assert training.main(words(options)) == 1, expected
        line = capsys.readouterr().err.splitlines()[-1]
        assert re.match(f"error: .*{re.escape(expected)}", line)
    assert not (tmp_path / "out").exists()


CHANGES: dict[str, Any] = {
    "n_estimators": 7, "learning_rate": 0.5, "max_depth": 2, "min_child_weight": 3.0, "subsample": 0.5, "column_share": 0.5,
    "regularisation": 3.0, "early_stopping_rounds": 3, "weight_loss": True, "cv_folds": 2, "cost_fn": 5.0, "cost_fp": 2.0,
    "seed": 3, "plots": False,
}  # fmt: skip
PLACES: dict[str, Any] = {
    "features": Path("x"), "zero_cost": Path("x"), "output": Path("x"), "work": Path("x"), "threads": 7, "memory_gb": 9.0,
}  # fmt: skip
PLAIN = TrainingOptions(Path("features"), Path("zero_cost"), Path("out"))


@pytest.mark.parametrize("name", [field.name for field in fields(TrainingOptions)])
def test_what_decides_the_model_is_in_its_fingerprint_and_nothing_else(name: str) -> None:
    changed = replace(PLAIN, **{name: {**CHANGES, **PLACES}[name]})
    assert (fingerprint(PLAIN, "f", "z") == fingerprint(changed, "f", "z")) is (name in PLACES)


def test_other_inputs_are_another_training_and_every_option_is_explained() -> None:
    assert len({fingerprint(PLAIN, *each) for each in (("f", "z"), ("g", "z"), ("f", "y"))}) == 3
    assert set(field_docs(TrainingOptions)) == {field.name for field in fields(TrainingOptions)}
    wrong = {
        "n_estimators": (0, "1 or more"), "learning_rate": (0.0, "above 0"), "subsample": (1.5, "1 at most"),
        "threads": (-1, "0 or more"), "cv_folds": (1, "2 or more, or 0"),
    }  # fmt: skip
    for name, (value, expected) in wrong.items():
        with pytest.raises(ValueError, match=f"--{name} must be .*{expected}"):
            replace(PLAIN, **{name: value})


# What names, shows, stores, checks or registers, but computes nothing of a model; what the sample's days are the categories' file tells.
DECIDES_NOTHING = {
    "query_predictor": {"registration", "trained_model", "training_record", "categories", "sampling", "configuration"},
    "core": CORE_DECIDES_NOTHING,
    "training": TRAINING_DECIDES_NOTHING | {"devices", "work_folder"},
}  # fmt: skip


def test_the_code_version_covers_every_module_that_decides_a_number() -> None:
    assert deciding_sources(Path(training.__file__), DECIDES_NOTHING) == set(training_options.SOURCES)


def test_a_training_is_found_by_its_week_and_digests(week: MadeUpWeek, tmp_path: Path) -> None:
    options = week.options(tmp_path / "model")
    inputs = training_inputs.read_inputs(options, WorkFolder.of(options))
    subject = training_record.subject(inputs)
    assert subject.model is registration.MODEL
    assert (registration.MODEL.model_name, registration.MODEL.policy) == (
        "query_predictor_model",
        "query_router_policy",
    )
    [dataset] = subject.trained_on.datasets
    assert dataset.name == f"query_predictor/features/{WEEK}"
    assert dataset.rows == sum(inputs.sizes().values())
    assert subject.trained_on.tags() == {
        "dataset_version": WEEK.isoformat(), "dataset_digest": folder_digest(week.features),
        "zero_cost_digest": sha256_of(week.zero_cost),
    }  # fmt: skip
    documented = {
        "learning_rate",
        "batch_size",
        "epochs",
        "dataset_version",
        "dataset_digest",
        "model_base",
        "fine_tuning_method",
    }
    assert documented <= set(inputs.parameters())
    assert registration.version_zero()["policy"] == "rule"


def test_a_published_partition_is_read_through_its_manifest(week: MadeUpWeek, tmp_path: Path, trained: Any) -> None:
    revision = tmp_path / "2026-02-16" / "revisions" / "abc"
    shutil.copytree(week.features, revision)
    names = sorted(contents(week.features))
    manifest = {"files": [{"name": name, "path": f"revisions/abc/{name}"} for name in names]}
    (tmp_path / "2026-02-16" / "manifest.json").write_text(json.dumps(manifest))
    options = replace(
        trained[0], features=tmp_path / "2026-02-16", zero_cost=week.zero_cost.parent, output=tmp_path / "model"
    )
    assert training_inputs.read_inputs(options, WorkFolder.of(options)).fingerprint == trained[1].fingerprint
    # Published anew: the links that the first reading left are not read again.
    other = write_week(tmp_path / "other", seed=1)
    shutil.copytree(other.features, revision.parent / "def")
    for file in manifest["files"]:
        file["path"] = file["path"].replace("abc", "def")
    (tmp_path / "2026-02-16" / "manifest.json").write_text(json.dumps(manifest))
    again = training_inputs.read_inputs(options, WorkFolder.of(options))
    assert again.features_digest == folder_digest(other.features)


def test_what_the_zero_cost_stage_takes_is_not_trained_on(week: MadeUpWeek, tmp_path: Path) -> None:
    options = week.options(tmp_path / "model")
    inputs = training_inputs.read_inputs(options, WorkFolder.of(options))
    for split, name in ((inputs.train, "train"), (inputs.validation, "validation")):
        assert set(split.category) == {"select"}
        assert len(split) == (inputs.week.splits[name].category != "show").sum()
    assert "show" in set(inputs.test.category)
