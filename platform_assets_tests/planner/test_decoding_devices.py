"""Where and in which numbers a model decodes: the device there is, the type and the quantisation that its folder names."""

from __future__ import annotations

import importlib.machinery
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from platform_assets.planner import decoding, language_model
from platform_assets.planner.decoding import LanguageModelPlanner, load_policy
from platform_assets.planner.language_model import default_device, load_planner
from platform_assets.planner.model_documents import Decoding, ModelError, read_planner
from platform_assets.planner.plans import Request
from platform_assets.planner.policies import run_policies
from platform_assets.planner.replay import replay
from platform_assets.planner.replay_inputs import Side
from platform_assets.planner.replay_rows import ReplayRow, Selection
from platform_assets.planner.targets import Target
from platform_assets_tests.planner.small_model import small_context, small_recipes, write_base, write_model_folder

RECIPES = small_recipes(30)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    return write_model_folder(folder / "model", write_base(folder / "base", RECIPES))


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose adapter was trained over a base in 4 bits."""
    folder = tmp_path_factory.mktemp("quantized")
    base = write_base(folder / "base", RECIPES)
    return write_model_folder(folder / "model", base, dtype="bfloat16", quantization="nf4")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What bases were loaded with: (device, quantization, dtype); loaded on the processor all the same."""
    found: list[tuple[Any, ...]] = []
    load = language_model.load_base

    def recorded(folder: Path, device: str, quantization: str | None, dtype: str | None) -> tuple[Any, Any]:
        found.append((device, quantization, dtype))
        return load(folder, "cpu", None, dtype)

    monkeypatch.setattr(language_model, "load_base", recorded)
    return found


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has CUDA."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def rows(count: int) -> list[ReplayRow]:
    requests = [Request(small_context(RECIPES, seed), RECIPES) for seed in range(count)]
    plans = [each.plan for each in run_policies(Side("0").load(), requests)]
    return [
        ReplayRow(f"p{number}", f"h{number}", request, Target(plan), "0", False, False)
        for number, (request, plan) in enumerate(zip(requests, plans, strict=True))
    ]


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_model_decodes_on_cuda_where_there_is_some(
    trained: Path, monkeypatch: pytest.MonkeyPatch, there: bool, device: str
) -> None:
    class Loaded(Exception):
        pass

    def load(folder: Path, device: str, dtype: str | None) -> None:
        raise Loaded(device)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert default_device() == device
    monkeypatch.setattr(decoding, "load_planner", load)
    for told, expected in ((None, device), ("cpu", "cpu"), ("cuda:1", "cuda:1")):
        with pytest.raises(Loaded, match=f"^{expected}$"):
            load_policy(trained, told)


def test_a_device_that_is_not_there_is_refused_with_the_remedy(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="torch sees no CUDA: name none, or cpu"):
        load_policy(trained, "cuda")


def test_a_type_that_is_asked_for_goes_over_the_folders(trained: Path) -> None:
    assert load_policy(trained, "cpu").settings["dtype"] == "float32"
    assert load_policy(trained, "cpu", dtype="bfloat16").settings["dtype"] == "bfloat16"


def test_a_base_is_quantised_as_in_training_where_the_device_can(
    quantized: Path, asked: list[tuple[Any, ...]], cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    # The adapter itself cannot go to a device that is not there.
    monkeypatch.setattr("peft.PeftModel.from_pretrained", lambda model, folder, torch_device: model)
    load_planner(quantized, "cuda")
    load_planner(quantized, "cuda", "float32")
    load_planner(quantized, "cpu")
    assert asked == [("cuda", "nf4", "bfloat16"), ("cuda", None, "float32"), ("cpu", None, "bfloat16")]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_base_that_cannot_be_quantised_is_loaded_whole_and_that_is_told(
    quantized: Path, asked: list[tuple[Any, ...]], cuda: None, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, device: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(language_model, "find_spec", lambda name: None)
    monkeypatch.setattr("peft.PeftModel.from_pretrained", lambda model, folder, torch_device: model)
    with caplog.at_level(logging.WARNING):
        load_planner(quantized, device)
    assert asked == [(device, None, "bfloat16")]
    assert (
        "trained over a base in nf4, which needs CUDA and bitsandbytes: the base is loaded whole, in bfloat16"
        in caplog.text
    )


def test_a_policy_tells_what_was_loaded_not_what_was_wished(quantized: Path) -> None:
    assert read_planner(quantized).decoding == Decoding("bfloat16", 4, 3, 5, "nf4")
    settings = load_policy(quantized, "cpu").settings
    assert (settings["device"], settings["dtype"], settings["quantization"]) == ("cpu", "bfloat16", "")


def test_the_settings_of_an_accelerator_hold_its_name_and_the_quantisation(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnCuda:
        def __init__(self, model: Any) -> None:
            self.config, self.device, self.dtype = model.config, torch.device("cuda", 1), torch.bfloat16
            self.is_loaded_in_4bit = True

        def eval(self) -> OnCuda:
            return self

    model, tokenizer, form = load_planner(trained)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"accelerator {device.index}")
    settings = LanguageModelPlanner(OnCuda(model), tokenizer, form).settings
    assert (settings["device"], settings["quantization"]) == ("cuda (accelerator 1)", "nf4")


def test_a_replay_writes_down_on_what_both_sides_decoded(trained: Path, tmp_path: Path) -> None:
    selection, target = Selection(rows(8)), tmp_path / "scores.parquet"
    heuristic, first = Side("0"), Side("1", trained, device="cpu")
    summary = replay(first, heuristic, selection, 4, target)
    assert (summary["device"], summary["dtype"], summary["quantization"]) == ("cpu", "float32", "")
    assert summary["decoding"] == {"candidate": load_policy(trained, "cpu").settings, "baseline": {}}
    halved = Side("2", trained, device="cpu", dtype="bfloat16")
    summary = replay(heuristic, halved, selection, 4, target)
    assert (summary["device"], summary["dtype"]) == ("", ""), "the candidate has no model"
    assert summary["decoding"]["baseline"]["dtype"] == "bfloat16"


def test_the_same_device_type_and_batch_give_the_same_scores_again(trained: Path, tmp_path: Path) -> None:
    selection, files = Selection(rows(8)), [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for path in files:
        replay(Side("1", trained, device="cpu"), Side("0"), selection, 4, path)
    assert files[0].read_bytes() == files[1].read_bytes()
