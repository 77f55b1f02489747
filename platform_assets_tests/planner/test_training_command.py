"""The training's command line: what it leaves open the base advises, and what it registers is described as the asset does."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from platform_assets.core.digest import digest_table
from platform_assets.core.lake import Address, Lake, Lineage
from platform_assets.core.registered_model import RegisteredModel
from platform_assets.core.tracking import Run
from platform_assets.planner import training, training_inputs, training_record
from platform_assets.planner.base_model import advised_options
from platform_assets.planner.model_documents import read_base
from platform_assets.planner.trained_model import read_options
from platform_assets.planner.training_options import TrainingOptions, advised, fingerprint
from platform_assets.planner.training_rows import read_dataset
from platform_assets.training import record
from platform_assets.training.devices import resolved
from platform_assets.training.history import History
from platform_assets.training.trainer import Fitted
from platform_assets.training.work_folder import WorkFolder
from platform_assets_tests.planner.training_world import write_world

GIVEN = ["--epochs", "1", "--batch_size=8", "--threads", "1", "--accelerator", "cpu"]


def command(options: TrainingOptions, *more: str) -> list[str]:
    """A command line with what is required."""
    datasets = [word for path in options.dataset for word in ("--dataset", str(path))]
    where = ["--model_base", options.model_base, "--recipes", str(options.recipes), "--output", str(options.output)]
    return [*datasets, *where, *more]


@pytest.fixture(scope="module")
def commanded(tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    """What a command trained that names few options."""
    options = write_world(tmp_path_factory.mktemp("commanded"), [24])
    assert training.main(command(options, *GIVEN)) == 0
    return options


def test_what_a_command_leaves_open_is_what_its_base_advises(commanded: TrainingOptions) -> None:
    document = json.loads((commanded.output / "planner.json").read_text())
    assert document["format"]["max_candidates"] == int(advised_options("tiny")["max_candidates"]) == 0
    config = json.loads((commanded.output / "adapter" / "adapter_config.json").read_text())
    assert "lm_head" in config["target_modules"]
    assert len(json.loads((commanded.output / "metrics.json").read_text())["epochs"]) == 1


def test_the_asset_and_the_command_make_one_training_of_the_same_few_options(commanded: TrainingOptions) -> None:
    asked = read_options(command(replace(commanded, model_base="."), *GIVEN), "tiny")
    datasets = [read_dataset(path).digest for path in commanded.dataset]
    base = read_base(commanded.output / "base").identity
    named = fingerprint(asked, datasets, base, digest_table([commanded.recipes]).digest)
    assert json.loads((commanded.output / "planner.json").read_text())["fingerprint"] == named


def test_what_is_given_counts_more_than_advice_and_a_language_model_has_none() -> None:
    where = ["--dataset", "a", "--model_base", ".", "--recipes", "c", "--output", "d"]
    assert (read_options(where, "tiny").epochs, read_options([*where, "--epochs", "9"], "tiny").epochs) == (4, 9)
    assert read_options([*where, "--max_candidates=3"], "tiny").max_candidates == 3
    assert advised(where, "org/model") == where
    assert read_options(where, "org/model").lora_targets == TrainingOptions.lora_targets


def test_a_base_is_named_by_its_description_or_else_by_itself(tmp_path: Path) -> None:
    options = write_world(tmp_path, [1])
    assert training_inputs.base_name(options.model_base) == "tiny"
    assert training_inputs.base_name("tiny") == "tiny"
    assert training_inputs.base_name(str(tmp_path)) == str(tmp_path)


def test_a_dataset_has_its_folders_name_also_where_its_file_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (week,) = write_world(tmp_path, [3]).dataset
    monkeypatch.chdir(week)
    named = [read_dataset(path) for path in (week, week / "training.parquet", Path("training.parquet"), Path())]
    assert {(each.name, each.digest, each.rows) for each in named} == {("week0", named[0].digest, 3)}
    assert [each.uri for each in named] == [str(week), *[str(week / "training.parquet")] * 2, str(week)]


def recorded(
    options: TrainingOptions, monkeypatch: pytest.MonkeyPatch, known: str | None, *, register: bool = True
) -> tuple[record.Record, Mock, Mock]:
    """(the record of a training of these options, the tracking server, its run); `known` is the registered version."""
    run, tracking = Mock(spec=Run), Mock()

    @contextmanager
    def opened(*given: Any) -> Any:
        yield run

    tracking.run.side_effect = opened
    monkeypatch.setattr(record.services, "open_tracking", lambda settings: tracking)
    monkeypatch.setattr(record.services, "open_warehouse", lambda settings: Mock())
    monkeypatch.setattr(RegisteredModel, "registered", lambda self, server, key: known)
    monkeypatch.setattr(RegisteredModel, "ensure_policy", lambda self, warehouse: "the policy")
    named = {"7": Mock(version=3)}
    monkeypatch.setattr(RegisteredModel, "register_policy_versions", lambda self, server, warehouse: named)
    monkeypatch.setattr(RegisteredModel, "register", Mock(return_value="7"))
    inputs = training_inputs.read_inputs(resolved(options), WorkFolder.of(options))
    with record.recording(training_record.subject(inputs), "", register, is_follower=False) as kept:
        versions = kept.register(options.output)
    assert versions == ({"model_version": "7", "policy_version": 3} if register else {})
    return kept, tracking, run


def test_a_training_that_is_registered_opens_no_run_and_is_named_again(
    commanded: TrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, tracking, _ = recorded(commanded, monkeypatch, "7")
    assert kept.run is None
    tracking.run.assert_not_called()
    RegisteredModel.register.assert_not_called()  # type: ignore[attr-defined]


def test_without_register_nothing_is_opened(commanded: TrainingOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    _, tracking, _ = recorded(commanded, monkeypatch, None, register=False)
    assert not tracking.mock_calls


def test_a_run_of_its_own_names_every_dataset_and_is_tagged_by_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = write_world(tmp_path, [5, 4])
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(training_record.trained_model, "serving_defaults", lambda folder: {})
    _, tracking, run = recorded(options, monkeypatch, None)
    first, newest = map(read_dataset, options.dataset)
    logged = [call.args[0] for call in run.log_dataset.call_args_list]
    assert [(each.name, each.digest, each.rows, each.uri) for each in logged] == [
        (f"planner/{each.name}", each.digest, each.rows, each.uri) for each in (first, newest)
    ]
    expected = {"dataset_version": "week1", "dataset_digest": newest.digest}
    run.log_parameters.assert_called_once_with(expected)
    opened, registered = tracking.run.call_args.args[2], RegisteredModel.register.call_args.args[4]  # type: ignore[attr-defined]
    assert opened.items() >= {**expected, "policy_id": "the policy"}.items()
    assert registered.items() == {**opened, "model_digest": registered["model_digest"]}.items()


def test_the_model_has_the_digest_that_the_lake_would_give_it(
    commanded: TrainingOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(commanded, monkeypatch, None)
    registered = RegisteredModel.register.call_args.args[4]  # type: ignore[attr-defined]
    files = {str(path.relative_to(commanded.output)): path for path in commanded.output.rglob("*") if path.is_file()}
    lineage = Lineage(inputs=(), code_version="1", run_id="r", details={})
    published = Lake(tmp_path / "lake").publish_files(Address("planner/model", "a", "planner/model/a"), files, lineage)
    assert registered["model_digest"] == published.revision.digest


@pytest.mark.parametrize(("rate", "told"), [(0.0, False), (12.0, True)])
def test_the_speed_is_recorded_where_steps_were_made(rate: float, told: bool) -> None:
    run = Mock(spec=Run)
    fitted = Fitted(History(), 0, rate, True, 1, "tokens")
    record.Record(Mock(), run).finish(fitted.result(Path(), "f", {}, {"val_loss": 1.0}))
    (metrics,) = run.log_metrics.call_args.args
    assert ("tokens_per_second" in metrics) is told
    assert metrics["final_val_loss"] == 1.0
