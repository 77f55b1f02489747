"""The training program as a function: what it writes, what makes two trainings the same, what it refuses."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from platform_assets.core.digest import digest_table
from platform_assets.planner import language_model, training, training_inputs, training_options, training_output
from platform_assets.planner.model_documents import ModelError, read_base, read_planner
from platform_assets.planner.trained_model import read_options
from platform_assets.planner.training_options import LIBRARIES, TrainingOptions, fingerprint
from platform_assets.planner.training_rows import TrainingRowsError, read_dataset
from platform_assets.training import libraries
from platform_assets.training.devices import pinned, resolved
from platform_assets.training.errors import LossNotFinite, OtherFingerprint, OutOfMemory, TrainingError, WorkFolderBusy
from platform_assets.training.options import field_docs
from platform_assets.training.record import TrainingResult
from platform_assets.training.work_folder import WorkFolder
from platform_assets_tests.imported_sources import CORE_DECIDES_NOTHING, TRAINING_DECIDES_NOTHING, deciding_sources
from platform_assets_tests.planner.small_model import write_base_document
from platform_assets_tests.planner.training_world import row, words, write_dataset, write_world

FILES = {
    "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "base/base.json", "base/model.safetensors",
    "base/tokenizer.json", "planner.json", "recipes.parquet", "training_rows.parquet", "metrics.json", "loss.png",
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingOptions, TrainingResult, list[Any]]:
    options, heard = write_world(tmp_path_factory.mktemp("trained")), []
    result = training.train(options, [lambda epoch, metrics: heard.append((epoch, metrics))])
    return options, result, heard


def test_a_training_leaves_a_whole_model_folder(trained: Any) -> None:
    options, result, heard = trained
    assert set(contents(options.output)) >= FILES
    document = read_planner(options.output)
    assert document.base_digest == read_base(options.output / "base").digest
    assert document.form == options.form
    assert (options.output / "recipes.parquet").read_bytes() == options.recipes.read_bytes()
    metrics = json.loads((options.output / "metrics.json").read_text())
    assert metrics["rows"] == 70
    assert metrics["rows_train"] + metrics["rows_validation"] == 70
    assert len(metrics["steps"]) == 2 * math.ceil(metrics["rows_train"] / 8)
    assert [epoch for epoch, _ in heard] == [0, 1]
    assert [dict(each) for _, each in heard] == [dict(each) for each in result.epochs]
    assert result.rates["tokens_per_second"]
    assert result.parameters["learning_rate"] == options.lr


def test_it_learns(trained: Any) -> None:
    _, result, _ = trained
    assert result.metrics["val_loss"] < result.metrics["val_loss_untuned"] - 0.1
    assert result.epochs[1]["train_loss"] < result.epochs[0]["train_loss"]


def test_the_rows_that_were_used_are_named_and_split_by_household(trained: Any) -> None:
    options, _, _ = trained
    rows = pq.read_table(options.output / "training_rows.parquet").to_pylist()
    assert len(rows) == 70
    assert {each["split"] for each in rows} == {"train", "validation"}
    assert all((int(each["plan_id"][1:]) % 5 == 0) == (each["split"] == "validation") for each in rows)


def test_the_same_training_writes_the_same_bytes_wherever_it_runs(trained: Any, tmp_path: Path) -> None:
    options, result, _ = trained
    elsewhere = replace(options, dataset=options.dataset[::-1], output=tmp_path / "again", work=tmp_path / "work")
    again = training.train(elsewhere)
    assert again.fingerprint == result.fingerprint
    assert contents(elsewhere.output) == contents(options.output)


def test_a_second_run_finds_everything_done_and_writes_the_same_folder(trained: Any) -> None:
    options, _, _ = trained
    before = contents(options.output)
    again = training.train(options)
    assert again.rates == {}
    assert contents(options.output) == before


def test_a_work_folder_of_another_training_is_refused(trained: Any) -> None:
    options, _, _ = trained
    with pytest.raises(OtherFingerprint, match=r"other inputs, options.* Name another --work folder"):
        training.train(replace(options, lr=1e-3))


CHANGES: dict[str, Any] = {
    "epochs": 9, "lr": 0.1, "batch_size": 3, "accumulate": 2, "seed": 4, "lora_r": 2, "lora_alpha": 2,
    "lora_dropout": 0.5, "lora_targets": ("q_proj",), "weight_decay": 0.1, "warmup": 0.5, "gradient_clip": 0.0,
    "early_stopping": 1, "max_length": 99, "max_candidates": 0, "recent_plans": 0, "pantry_items": 0,
    "describe_candidates": True, "precision": "bf16-mixed", "quantization": "nf4", "gradient_checkpointing": True,
}  # fmt: skip
PLACES: dict[str, Any] = {
    "dataset": (Path("x"),), "model_base": "x", "recipes": Path("x"), "output": Path("x"), "work": Path("x"),
    "threads": 7, "devices": 2, "accelerator": "cuda", "checkpoint_every": 5, "tiny_steps": 1, "revision": "x",
}  # fmt: skip
PLAIN = TrainingOptions((Path("a"),), "base", Path("recipes"), Path("out"), precision="32-true", accelerator="cpu")
# Where dropout is drawn; without it they decide the last bits alone.
OF_DROPOUT = {"devices", "accelerator"}


@pytest.mark.parametrize("dropout", [TrainingOptions.lora_dropout, 0.0])
@pytest.mark.parametrize("name", [field.name for field in fields(TrainingOptions)])
def test_what_decides_the_model_is_in_its_fingerprint_and_nothing_else(name: str, dropout: float) -> None:
    plain = replace(PLAIN, lora_dropout=dropout)
    changed = replace(plain, **{name: {**CHANGES, **PLACES}[name]})
    same = fingerprint(plain, ["d"], "b", "r") == fingerprint(changed, ["d"], "b", "r")
    assert same is (name in (PLACES.keys() - OF_DROPOUT if dropout else PLACES))


def test_with_the_default_dropout_another_number_or_kind_of_devices_is_another_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = set()
    for cuda, count in ((False, 1), (False, 2), (True, 1)):
        monkeypatch.setattr("torch.cuda.is_available", lambda cuda=cuda: cuda)
        options = resolved(replace(PLAIN, accelerator="auto", devices=count))
        assert pinned(options, options.lora_dropout) == {
            "precision": "32-true",
            "accelerator": "cuda" if cuda else "cpu",
        }
        found.add(fingerprint(options, ["d"], "b", "r"))
    for name, value in (("LOCAL_WORLD_SIZE", "1"), ("WORLD_SIZE", "2"), ("TORCHELASTIC_RUN_ID", "a")):
        monkeypatch.setenv(name, value)
    under_torchrun = fingerprint(resolved(PLAIN), ["d"], "b", "r")
    assert len(found) == 3
    assert under_torchrun == fingerprint(replace(PLAIN, devices=2), ["d"], "b", "r")


def test_without_dropout_a_training_may_go_on_on_another_device() -> None:
    assert pinned(PLAIN, 0.0) == {"precision": "32-true"}


def test_other_inputs_are_another_training() -> None:
    inputs: list[tuple[list[str], str, str]] = [
        (["d"], "b", "r"),
        (["e"], "b", "r"),
        (["d"], "c", "r"),
        (["d"], "b", "s"),
    ]
    assert len({fingerprint(PLAIN, *each) for each in inputs}) == 4


def test_auto_precision_is_another_training_on_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = replace(PLAIN, precision="auto", accelerator="auto", lora_dropout=0.0)
    with pytest.raises(ValueError, match="resolve the options first"):
        fingerprint(plain, ["d"], "b", "r")
    found = []
    for cuda in (False, True):
        monkeypatch.setattr("torch.cuda.is_available", lambda cuda=cuda: cuda)
        found.append(fingerprint(resolved(plain), ["d"], "b", "r"))
    named = [
        fingerprint(replace(PLAIN, precision=name, lora_dropout=0.0), ["d"], "b", "r")
        for name in ("32-true", "bf16-mixed")
    ]
    assert found == named
    assert found[0] != found[1]


def test_the_asset_and_the_program_take_the_same_fingerprint(trained: Any) -> None:
    options, result, _ = trained
    asked = read_options(words(options), "tiny")
    digests = sorted(read_dataset(path).digest for path in options.dataset)
    recipes = digest_table([options.recipes]).digest
    base = read_base(options.output / "base").identity
    assert fingerprint(asked, digests, base, recipes) == result.fingerprint
    assert json.loads((options.output / "planner.json").read_text())["fingerprint"] == result.fingerprint
    assert result.parameters["precision"] == "32-true"


@pytest.mark.parametrize("library", [*LIBRARIES, "bitsandbytes", "pytest"])
def test_another_version_of_a_library_that_computes_is_another_training(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fingerprints(installed: str) -> list[str]:
        monkeypatch.setattr(libraries, "version", lambda name: installed if name == library else "1.0")
        return [fingerprint(replace(PLAIN, quantization=kind), ["d"], "b", "r") for kind in ("", "nf4")]

    plain, quantised = fingerprints("2.13.0+cpu")
    assert fingerprints("2.13.0+cu128") == [plain, quantised]
    changed = [new != old for new, old in zip(fingerprints("2.14.0"), (plain, quantised), strict=True)]
    assert changed == {"bitsandbytes": [False, True], "pytest": [False, False]}.get(library, [True, True])


# What names, shows, stores or registers, but computes nothing; and rows' form, whose changes change the datasets' digests.
DECIDES_NOTHING = {
    "planner": {"base_identity", "base_model", "registration", "trained_model", "training_record", "weekly"},
    "core": CORE_DECIDES_NOTHING,
    "training": TRAINING_DECIDES_NOTHING,
}  # fmt: skip


def test_the_code_version_covers_every_module_that_decides_a_number() -> None:
    assert deciding_sources(Path(training.__file__), DECIDES_NOTHING) == set(training_options.SOURCES)


@pytest.mark.parametrize(("rank", "device"), [(None, "cuda:0"), ("0", "cuda:0"), ("1", "cuda:1")])
def test_a_quantised_base_is_made_on_the_device_of_its_own_process(
    rank: str | None, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(write_world(tmp_path, [8]), quantization="nf4")
    training.train(replace(options, quantization=""))
    monkeypatch.setattr(language_model, "load_base", lambda *given: (_ for _ in ()).throw(LookupError(given[1:])))
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
        # Only a first process claims the folder.
        WorkFolder.of(options).path.joinpath("run.json").unlink()
        claim = training_inputs.read_inputs(resolved(options), WorkFolder.of(options))
        claim.work.claim(claim.fingerprint, {"threads": 1})
    else:
        monkeypatch.delenv("LOCAL_RANK", raising=False)
        options = replace(options, work=tmp_path / "other")
    with pytest.raises(LookupError, match=rf"\('{device}', 'nf4', None\)"):
        training.train(options)


def test_a_second_training_of_the_same_folder_is_refused_while_the_first_works(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, _, _ = trained
    monkeypatch.setattr(inspect.unwrap(WorkFolder.held), "__defaults__", (0.0,))
    heard: list[str] = []

    def second(epoch: int, metrics: Mapping[str, float]) -> None:
        with pytest.raises(WorkFolderBusy, match="another training works in this folder"):
            training.train(options)
        heard.append("refused")

    training.train(options, [second])
    assert heard


def test_how_the_base_was_quantised_is_told_to_whoever_serves_the_model(tmp_path: Path) -> None:
    base = read_base(write_world(tmp_path, [1]).output.with_name("base"))
    for kind in ("", "nf4"):
        document = training_output.planner_document(replace(PLAIN, quantization=kind), base, "f")
        assert (document["decoding"]["quantization"], document["precision"]) == (kind, "32-true")


def test_a_base_that_does_not_fit_into_memory_is_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*given: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(language_model, "load_base", load)
    with pytest.raises(OutOfMemory, match=r"^out of memory while the base model was loaded on cpu: .*nf4"):
        training.train(write_world(tmp_path, [8]))


def test_a_step_that_does_not_fit_into_memory_is_told_with_the_options_that_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*given: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("platform_assets.planner.fine_tuning.FineTuning.training_step", step)
    with pytest.raises(OutOfMemory, match=r"batch_size 8: .*accumulate.*gradient checkpointing.*nf4$"):
        training.train(write_world(tmp_path, [8]))


def test_every_option_is_explained() -> None:
    assert set(field_docs(TrainingOptions)) == {field.name for field in fields(TrainingOptions)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("batch_size", 0), ("lr", 0.0), ("lr", 2.0), ("accelerator", "gpu"), ("lora_dropout", 1.0),
        ("precision", "foo"), ("warmup", 7), ("warmup", "nan"), ("gradient_clip", -3), ("weight_decay", -1),
        ("early_stopping", -1),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_is_named(name: str, value: object, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--dataset", "a", "--model_base", "b", "--recipes", "c", "--output", "d", f"--{name}", str(value)]
    with pytest.raises(SystemExit):
        training.main(words)
    assert re.search(f"--{name} (must be|is one of)", capsys.readouterr().err)


def test_rows_that_are_all_too_long_leave_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(TrainingRowsError, match=r"no row is left to train on, of 12 .*truncated \d+.*raise max_length"):
        training.train(replace(write_world(tmp_path, [12]), max_length=5))
    assert not (tmp_path / "model").exists()


def test_a_base_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    options = write_world(tmp_path, [8])
    (tmp_path / "base" / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        training.train(options)


def test_a_loss_that_is_not_a_number_leaves_no_model(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    options = write_world(tmp_path, [24])
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["model.norm.weight"].fill_(math.nan)
    save_file(weights, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    write_base_document(tmp_path / "base")
    with pytest.raises(
        LossNotFinite, match=r"validation loss is nan before the first step: .*broken weights in the base"
    ):
        training.train(options)
    assert not options.output.exists()


def test_an_output_folder_with_something_else_in_it_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    options = write_world(tmp_path, [8])
    options.output.mkdir()
    (options.output / "thesis.txt").touch()
    with pytest.raises(TrainingError, match="holds something else"):
        training.train(options)


def test_checkpoints_are_small_and_hold_the_adapter_alone(trained: Any) -> None:
    options, _, _ = trained
    work = options.output.with_name("model.work")
    for name in ("newest.ckpt", "best.ckpt"):
        state = torch.load(work / name, weights_only=True)["state_dict"]
        assert state
        assert all("lora_" in key for key in state)


def test_early_stopping_keeps_the_best_epoch(tmp_path: Path) -> None:
    options = replace(write_world(tmp_path, [24]), epochs=30, lr=0.05, early_stopping=2)
    result = training.train(options)
    losses = [epoch["val_loss"] for epoch in result.epochs]
    assert len(losses) < 30
    assert result.metrics["best_epoch"] == losses.index(min(losses)) == len(losses) - 3
    assert result.metrics["val_loss"] == min(losses)


def test_a_base_that_is_no_base_folder_yet_is_built_once_and_taken_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from platform_assets.planner import base_identity, base_model

    options = write_world(tmp_path, [12])
    plain = tmp_path / "plain"
    (tmp_path / "base").rename(plain)
    (plain / "base.json").unlink()
    built = []

    def build(wanted: base_model.Wanted, recipes: Path, output: Path) -> Mapping[str, Any]:
        built.append(wanted.model_base)
        return base_identity.write_reference(wanted.model_base, wanted.revision, output)

    monkeypatch.setattr(base_model, "build", build)
    first = training.train(replace(options, model_base=str(plain)))
    again = training.train(replace(options, model_base=str(plain)))
    assert built == [str(plain)]
    assert again.fingerprint == first.fingerprint
    assert read_base(options.output / "base").kind == "reference"


def test_a_week_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    options = write_world(tmp_path, [12])
    write_dataset(options.dataset[0], [row(1)], version=2)
    with pytest.raises(TrainingRowsError, match="schema version 2"):
        training.train(options)
