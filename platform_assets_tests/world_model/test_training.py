"""The world model's training program as a function and as a command: what it writes, what makes two the same, what it refuses."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from platform_assets.training.devices import pinned, resolved
from platform_assets.training.errors import LossNotFinite, OtherFingerprint, TrainingError
from platform_assets.training.options import field_docs
from platform_assets.training.work_folder import WorkFolder
from platform_assets.world_model import network, trained_model, training, training_inputs, training_options
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.fitting import HiddenProducts
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets.world_model.training_options import TrainingOptions, fingerprint
from platform_assets_tests.imported_sources import CORE_DECIDES_NOTHING, TRAINING_DECIDES_NOTHING, deciding_sources
from platform_assets_tests.world_model.small_cache import write_small_cache
from platform_assets_tests.world_model.small_training import contents, small_options, words

FILES = {"weights.safetensors", "network.json", "history.json", "metrics.json", "loss.png"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("cache"), baskets=(97, 40, 20), longest=20)


@pytest.fixture(scope="module")
def trained(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingOptions, Any, list[Any], list[Any]]:
    options = small_options(cache, tmp_path_factory.mktemp("trained") / "model")
    epochs: list[Any] = []
    looks: list[Any] = []
    listeners = training.Listeners(
        [lambda epoch, metrics: epochs.append((epoch, dict(metrics)))],
        [lambda step, metrics: looks.append((step, dict(metrics)))],
    )
    return options, training.train(options, listeners), epochs, looks


def opened(options: TrainingOptions) -> training_inputs.Inputs:
    return training_inputs.read_inputs(resolved(options), WorkFolder.of(options))


def test_a_training_leaves_a_whole_model_folder_and_tells_of_every_epoch(trained: Any) -> None:
    options, result, epochs, looks = trained
    assert set(contents(options.output)) == FILES
    history = json.loads((options.output / "history.json").read_text())
    metrics = json.loads((options.output / "metrics.json").read_text())
    assert len(history["steps"]) == 2 * math.ceil(97 / 32)
    assert [epoch for epoch, _ in epochs] == [0, 1]
    assert [step for step, _ in looks] == [each["step"] for each in history["quick_validation"]] == [3, 6]
    assert all("quick_val_loss" in each and "val_loss" not in each for _, each in looks)
    assert {"val_loss", "val_hit_at_10", "val_accuracy_mission_type", "val_accuracy_basket_size"} <= set(epochs[0][1])
    assert all(each["val_hit_at_10"] <= 1 and "measured" not in each for each in history["epochs"])
    assert metrics["val_loss"] == min(each["val_loss"] for each in history["epochs"])
    assert (metrics["baskets_train"], metrics["baskets_validation"]) == (97, 40)
    assert result.metrics == metrics
    assert result.rates["baskets_per_second"]
    assert result.parameters["learning_rate"] == options.learning_rate
    assert result.parameters["max_seq_len"] == 50


def test_the_kept_weights_answer_as_validation_measured(trained: Any, cache: Path) -> None:
    options, result, _, _ = trained
    model, document = network.load(options.output, TensorCache(cache))
    assert document["fingerprint"] == result.fingerprint
    inputs = opened(options)
    data = training._data(inputs)
    module = HiddenProducts(model, inputs.train.encoder_on, training._module(inputs, data).optimisation, 0)
    module.eval()
    with torch.no_grad():
        sums = torch.stack([module.measure(batch) for batch in data.val_dataloader()]).sum(0)
    assert float(sums[0] / sums[1]) == pytest.approx(result.metrics["val_loss"], rel=1e-5)


def test_it_learns_the_products_and_says_so(tmp_path: Path) -> None:
    cache = write_small_cache(tmp_path / "cache", baskets=(400, 200, 5))
    result = training.train(small_options(cache, tmp_path / "model", epochs=3, learning_rate=0.01))
    assert result.epochs[-1]["train_loss"] < result.epochs[0]["train_loss"]
    assert trained_model.judge_loss(result.metrics).passed
    assert not trained_model.judge_loss({**result.metrics, "val_loss_of_part": 99.0}).passed
    assert not trained_model.judge_loss({**result.metrics, "val_loss_untuned_of_part": None}).passed


def test_overfitted_to_a_few_baskets_the_network_alone_beats_popularity(cache: Path, tmp_path: Path) -> None:
    """On the baskets it has seen: what cannot be learned by heart cannot be learned at all."""
    options = small_options(
        cache, tmp_path / "model", epochs=40, width=32, dropout=0.0, without_mixture=True, auxiliary=(), patience=0,
        learning_rate=0.01, quick_validation_every=0, checkpoint_every=1000,
    )  # fmt: skip
    result = training.train(options)
    train = opened(options).train
    baskets = train.cache.table("product_baskets")
    bought = [int(token) for token in train.arrays.items if token >= layout.FIRST_PRODUCT]
    popular = -sum(math.log(baskets[token] / baskets.sum()) for token in bought) / len(bought)
    # It begins as popularity, and learns a little in the first epoch.
    assert result.epochs[0]["train_loss"] > popular - 0.1
    assert result.epochs[-1]["train_loss"] < popular - 0.3


def test_the_same_training_writes_the_same_bytes_wherever_it_runs(trained: Any, tmp_path: Path) -> None:
    options, result, _, _ = trained
    moved = tmp_path / "below" / "data" / "tensor_cache"
    shutil.copytree(options.tensor_cache, moved)
    elsewhere = replace(options, tensor_cache=tmp_path / "below", output=tmp_path / "again")
    assert training.train(elsewhere).fingerprint == result.fingerprint
    assert contents(elsewhere.output) == contents(options.output)


def test_a_second_run_finds_everything_done(trained: Any) -> None:
    options, _, _, _ = trained
    before = contents(options.output)
    assert training.train(options).rates == {}
    assert contents(options.output) == before


def test_a_work_folder_of_another_training_is_refused(trained: Any) -> None:
    options, _, _, _ = trained
    with pytest.raises(OtherFingerprint, match=r"other inputs, options, .* Name another --work folder"):
        training.train(replace(options, learning_rate=1e-4))


def test_the_command_says_in_one_line_what_is_wrong(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(cache, torn)
    with (torn / "train" / "items.npy").open("r+b") as file:
        file.truncate(100)
    cases = {
        tmp_path / "nothing": "is no tensor cache",
        torn: r"items\.npy has 100 bytes of .* it is a copy: copy it again",
    }
    for place, expected in cases.items():
        assert training.main(words(small_options(place, tmp_path / "out"))) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert re.match(f"error: .*{expected}", line)
    assert not (tmp_path / "out").exists()


def test_the_command_trains_and_says_how_fast(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = small_options(cache, tmp_path / "out", epochs=1, auxiliary=(), with_trip=True, patience=0)
    assert training.main(words(options)) == 0
    said = capsys.readouterr().err
    assert re.search(r"baskets: train 97, validation 40", said)
    assert re.search(r"step 3: quick_val_loss \d", said)
    assert re.search(r"epoch 1/1 done: train_loss .*, val_loss .*baskets/s", said)
    document = json.loads((tmp_path / "out" / "network.json").read_text())
    assert document["network"]["with_trip"]
    assert document["network"]["auxiliary"] == []


def test_the_documented_command_runs_as_it_stands_where_there_is_a_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "python -m platform_assets.world_model.training --batch_size 64 --epochs 10 --learning_rate 1e-4"
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"`{command}`" in readme
    arguments = command.split()[3:]
    monkeypatch.chdir(tmp_path)
    assert training.main(arguments) == 1
    assert re.match(
        rf"error: there is no tensor cache in {re.escape(str(tmp_path))}, nor in its tensor_cache or data/tensor_cache: "
        "name one with --tensor_cache, or run the command in a folder that has one",
        capsys.readouterr().err,
    )
    assert list(tmp_path.iterdir()) == []

    shutil.copytree(cache, tmp_path / "data" / "tensor_cache")
    assert training.main(arguments) == 0
    assert set(contents(tmp_path / "world_model")) == FILES

    (tmp_path / "world_model" / "network.json").unlink()
    assert training.main(arguments) == 1
    assert "world_model holds something else than an earlier output" in capsys.readouterr().err


def test_a_folder_with_something_else_in_it_is_never_replaced(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(TrainingError, match="holds something else"):
        training.train(small_options(cache, tmp_path))


def test_a_loss_that_is_not_a_number_leaves_no_model(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = HiddenProducts.learned_and_shown

    def broken(self: HiddenProducts, content: Any) -> Any:
        loss, shown = whole(self, content)
        return loss, shown * torch.nan

    monkeypatch.setattr(HiddenProducts, "learned_and_shown", broken)
    with pytest.raises(LossNotFinite, match="loss is nan at step 1"):
        training.train(small_options(cache, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_bounded_full_validation_looks_at_the_same_baskets_in_every_epoch(cache: Path, tmp_path: Path) -> None:
    options = small_options(
        cache, tmp_path / "model", full_validation_baskets=10, quick_validation_batches=1, batch_size=4
    )
    said: list[str] = []
    result = training.train(options, report=said.append)
    assert said[:2] == [
        "baskets: train 97, validation 40",
        "after every epoch 10 of the validation baskets are looked at, always the same",
    ]
    assert (result.metrics["baskets_validation"], result.metrics["full_validation_baskets"]) == (40, 10)
    assert result.parameters["full_validation_baskets"] == 10
    inputs = opened(options)
    ids = inputs.validation.arrays.basket_id.tolist()
    assert set(inputs.full_validation.arrays.basket_id.tolist()) < set(ids)
    model, _ = network.load(options.output, TensorCache(cache))
    data = training._data(inputs)
    module = HiddenProducts(model, inputs.train.encoder_on, training._module(inputs, data).optimisation, 0).eval()
    with torch.no_grad():
        sums = torch.stack([module.measure(batch) for batch in data.val_dataloader()])
    assert len(sums) == 3
    loss, part = sums.sum(0), sums[0]
    assert float(loss[0] / loss[1]) == pytest.approx(result.metrics["val_loss"], rel=1e-5)
    assert float(part[0] / part[1]) == pytest.approx(result.metrics["val_loss_of_part"], rel=1e-5)


def test_before_the_first_step_only_the_quick_part_is_looked_at(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    whole = HiddenProducts.validation_step

    def counted(self: HiddenProducts, batch: Any, batch_idx: int) -> None:
        looks.append("before" if self.trainer.sanity_checking else "after")
        whole(self, batch, batch_idx)

    monkeypatch.setattr(HiddenProducts, "validation_step", counted)
    options = small_options(cache, tmp_path / "model", batch_size=8, quick_validation_every=0)
    result = training.train(options)
    assert (looks.count("before"), looks.count("after")) == (2, 2 * 5)
    assert "val_loss_untuned" not in result.metrics, "it would stand beside val_loss, which is of all baskets"
    part, untuned = (result.metrics[f"val_loss{name}_of_part"] for name in ("", "_untuned"))
    assert trained_model.judge_loss(result.metrics).reason == (
        f"validation loss of the quick validation's baskets (batches: 2) {part:.4f}, of the untrained network {untuned:.4f}"
    )


def test_without_validation_baskets_it_says_what_to_do_about_it(tmp_path: Path) -> None:
    cache = write_small_cache(tmp_path / "cache", baskets=(64, 0, 5), longest=6)
    options = small_options(cache, tmp_path / "model", epochs=1)
    with pytest.raises(TrainingError, match=r"needs validation baskets, .* materialise .* or give --patience 0$"):
        training.train(options)
    result = training.train(replace(options, patience=0))
    assert result.metrics["val_loss"] is None
    outcome = trained_model.judge_loss(result.metrics)
    assert (outcome.passed, outcome.warning) == (False, True)
    assert outcome.reason.startswith("the validation weeks have no basket")


def test_without_train_baskets_nothing_is_trained(tmp_path: Path) -> None:
    cache = write_small_cache(tmp_path / "cache", baskets=(0, 9, 5), longest=6)
    with pytest.raises(TrainingError, match=r"has no train basket: name the cache of a later week, or materialise"):
        training.train(small_options(cache, tmp_path / "model"))


CHANGES: dict[str, Any] = {
    "batch_size": 3, "epochs": 9, "learning_rate": 0.1, "weight_decay": 0.5, "warmup": 0.5, "gradient_clip": 0.0, "seed": 4,
    "width": 8, "heads": 1, "layers": 4, "dropout": 0.5, "mask_probability": 0.5, "max_length": 9, "purchase_history": 7,
    "auxiliary": ("mission_type=0.5",), "with_trip": True, "without_price": True, "without_customer": True,
    "without_time": True, "without_segments": True, "without_mixture": True, "precision": "bf16-mixed", "compile": True,
    "quick_validation_every": 5, "quick_validation_batches": 7, "full_validation_baskets": 9, "patience": 1,
}  # fmt: skip
PLACES: dict[str, Any] = {
    "tensor_cache": Path("x"), "output": Path("x"), "work": Path("x"), "threads": 7, "devices": 2, "accelerator": "cuda",
    "checkpoint_every": 5,
}  # fmt: skip
PLAIN = TrainingOptions(Path("cache"), Path("out"), precision="32-true", accelerator="cpu")
OF_DROPOUT = {"devices", "accelerator"}


@pytest.mark.parametrize("dropout", [TrainingOptions.dropout, 0.0])
@pytest.mark.parametrize("name", [field.name for field in fields(TrainingOptions)])
def test_what_decides_the_model_is_in_its_fingerprint_and_nothing_else(name: str, dropout: float) -> None:
    plain = replace(PLAIN, dropout=dropout)
    changed = replace(plain, **{name: {**CHANGES, **PLACES}[name]})
    same = fingerprint(plain, "c") == fingerprint(changed, "c")
    assert same is (name in (PLACES.keys() - OF_DROPOUT if dropout else PLACES))


def test_another_cache_is_another_training_and_auto_must_be_resolved() -> None:
    assert fingerprint(PLAIN, "c") != fingerprint(PLAIN, "d")
    with pytest.raises(ValueError, match="resolve the options first"):
        fingerprint(replace(PLAIN, precision="auto"), "c")
    assert pinned(resolved(PLAIN), PLAIN.dropout) == {"precision": "32-true", "accelerator": "cpu"}


def test_the_asset_and_the_program_take_the_same_fingerprint(trained: Any, cache: Path) -> None:
    options, result, _, _ = trained
    asked = trained_model.read_options(words(options))
    assert fingerprint(asked, TensorCache(cache).fingerprint) == result.fingerprint
    with pytest.raises(
        ValueError, match=r"--colour red is no option of python -m platform_assets\.world_model\.training"
    ):
        trained_model.read_options([*words(options), "--colour", "red"])
    defaults = trained_model.serving_defaults(options.output)
    assert defaults["prediction"]["tensor_cache"] == TensorCache(cache).fingerprint


def test_every_option_is_explained_and_one_that_cannot_be_is_named() -> None:
    assert set(field_docs(TrainingOptions)) == {field.name for field in fields(TrainingOptions)}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"epochs": 0}, "--epochs must be 1 or more"), ({"learning_rate": 2.0}, "--learning_rate must be between"),
        ({"accelerator": "gpu"}, "--accelerator is one of"), ({"dropout": 1.0}, "--dropout must be"),
        ({"width": 10}, "--width must be a multiple of --heads"), ({"patience": -1}, "--patience must be 0 or more"),
        ({"precision": "foo"}, "--precision is one of auto, 32-true, bf16-mixed"),
        ({"warmup": 7.0}, "--warmup must be from 0 to 1, not 7"), ({"warmup": -0.1}, "--warmup must be from 0 to 1"),
        ({"gradient_clip": -3.0}, "--gradient_clip must be 0 or more"),
        ({"gradient_clip": math.nan}, "--gradient_clip must be 0 or more"),
        ({"full_validation_baskets": -1}, "--full_validation_baskets must be 0 or more"),
        ({"auxiliary": ("mood=1",)}, "--auxiliary has no task mood: they are mission_type"),
        ({"auxiliary": ("basket_size",)}, "as in basket_size=0.1, not basket_size"),
        ({"auxiliary": ("basket_size=0",)}, "basket_size must have a weight above 0"),
    ]  # fmt: skip
    for given, expected in wrong:
        with pytest.raises(ValueError, match=re.escape(expected)):
            replace(PLAIN, **given)


def test_the_tasks_weights_are_read_in_the_layouts_order_and_off_with_the_trip() -> None:
    assert list(PLAIN.auxiliary_weights.values()) == [0.1, 0.1, 0.05, 0.05]
    turned = replace(PLAIN, auxiliary=("basket_size=0.2", "mission_type=1"))
    assert turned.auxiliary_weights == {"mission_type": 1.0, "basket_size": 0.2}
    assert list(turned.auxiliary_weights) == ["mission_type", "basket_size"]
    assert replace(turned, with_trip=True).auxiliary_weights == {}


KINDS = ("plain", "compiled")
# What names, shows, stores, checks or registers, but computes nothing of a model.
DECIDES_NOTHING = {
    "world_model": {"registration", "trained_model", "training_record"},
    "core": CORE_DECIDES_NOTHING,
    "training": TRAINING_DECIDES_NOTHING,
}  # fmt: skip


def test_the_code_version_covers_every_module_that_decides_a_number() -> None:
    assert deciding_sources(Path(training.__file__), DECIDES_NOTHING) == set(training_options.SOURCES)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_training_learns_the_same(tmp_path: Path) -> None:
    # Whole batches of one kind of length: each new kind is compiled anew, for tens of seconds.
    cache = write_small_cache(tmp_path / "cache", baskets=(64, 32, 5), longest=6)
    options = small_options(cache, tmp_path / "plain", dropout=0.0, epochs=1, quick_validation_every=0, patience=0)
    results = [training.train(replace(options, output=tmp_path / name, compile=name == "compiled")) for name in KINDS]
    assert results[0].metrics["val_loss"] == pytest.approx(results[1].metrics["val_loss"], rel=1e-4)
    assert results[0].fingerprint != results[1].fingerprint
    network.load(tmp_path / "compiled", TensorCache(cache))
