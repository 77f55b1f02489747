"""Loading models: the folders' parts fit together, nothing is unpickled, and every failure names its remedy."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
import transformers

from platform_assets.planner import base_identity, language_model
from platform_assets.planner.decoding import LanguageModelPlanner, load_policy
from platform_assets.planner.language_model import load_base, load_planner, load_tokenizer
from platform_assets.planner.model_documents import ModelError, read_planner
from platform_assets.planner.plans import Request
from platform_assets.planner.prompt import PromptFormat
from platform_assets_tests.planner.small_model import (
    small_context,
    small_recipes,
    write_base,
    write_base_document,
    write_model_folder,
)

RECIPES = small_recipes(40)
FORM = PromptFormat(max_candidates=8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base folder that no test changes."""
    return write_base(tmp_path_factory.mktemp("base"), RECIPES)


@pytest.fixture
def base(written: Path, tmp_path: Path) -> Path:
    """A base folder of one's own."""
    return Path(shutil.copytree(written, tmp_path / "base"))


@pytest.fixture(scope="module")
def trained(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with an adapter that changes what the base says."""
    return write_model_folder(tmp_path_factory.mktemp("trained") / "model", written)


@pytest.fixture
def model_folder(trained: Path, tmp_path: Path) -> Path:
    """A model folder of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "model"))


def test_a_base_folder_gives_its_model_and_tokenizer(written: Path) -> None:
    model, tokenizer = load_base(written)
    assert model.dtype == torch.float32
    assert len(tokenizer) == model.config.vocab_size
    asked = language_model.prompt_ids(tokenizer, "What?")
    assert tokenizer.decode(asked) == "<|user|>What?<|assistant|>"
    assert tokenizer.decode(language_model.completion_ids(tokenizer, '{"count":1}')) == '{"count":1}<|end|>'
    assert load_base(written, dtype="bfloat16")[0].dtype == torch.bfloat16


def test_a_reference_loads_the_folder_that_it_points_to(written: Path, tmp_path: Path) -> None:
    document = base_identity.write_reference(str(written), "", tmp_path / "reference")
    assert (document["kind"], document["model_base"]) == ("reference", str(written))
    assert [path.name for path in (tmp_path / "reference").iterdir()] == ["base.json"]
    ours, theirs = load_base(tmp_path / "reference")[0], load_base(written)[0]
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters(), strict=True))


def rewrite(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def without_end_token(folder: Path) -> None:
    rewrite(folder, "tokenizer_config.json", eos_token=None)


def with_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def with_broken_weights(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def with_a_smaller_vocabulary(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(100)
    model.save_pretrained(folder)


def without_description(folder: Path) -> None:
    (folder / "base.json").unlink()


def with_another_kind(folder: Path) -> None:
    write_base_document(folder, kind="pickle")


def with_half_a_description(folder: Path) -> None:
    (folder / "base.json").write_text('{"model_base": "tiny"}')


@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (without_template, "no chat template: take an instruction-tuned model"),
        (without_end_token, "names no end token: set eos_token"),
        (with_a_pickle, "a pickle, which can run code .* convert them"),
        (without_weights, "holds no .*safetensors: give the folder that save_pretrained wrote"),
        (with_broken_weights, "could not be loaded .* is it what save_pretrained wrote"),
        (with_a_smaller_vocabulary, "do not belong together"),
        (without_description, "has no base.json: give a folder that planner/base_model wrote"),
        (with_another_kind, "kind 'pickle'"),
        (with_half_a_description, "not a base model's description"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_base_that_cannot_be_used_is_refused_with_the_remedy(
    base: Path, spoil: Callable[[Path], None], remedy: str
) -> None:
    spoil(base)
    with pytest.raises(ModelError, match=remedy):
        load_base(base)


def test_a_folder_that_is_not_there_is_not_asked_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder here: correct the path"):
        base_identity.write_reference(str(tmp_path / "nowhere"), "", tmp_path / "reference")


@pytest.mark.parametrize("model_base", ["someone/some-model", "not a hub id"])
def test_a_hub_out_of_reach_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_base: str) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="without a connection download it elsewhere"):
        base_identity.write_reference(model_base, "", tmp_path / "reference")
    write_base_document(tmp_path, kind="reference", model_base=model_base, revision="0123456")
    with pytest.raises(ModelError, match="0123456 is neither a local folder nor a model that the hub gave"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(("name", "remedy"), [("nf4", "needs a CUDA device and bitsandbytes"), ("int3", "not known")])
def test_a_quantization_that_cannot_be_had_is_refused(
    written: Path, monkeypatch: pytest.MonkeyPatch, name: str, remedy: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cpu", "cuda"):
        with pytest.raises(ModelError, match=remedy):
            load_base(written, device, quantization=name)


def test_a_model_folder_gives_a_policy_that_decodes_as_planner_json_says(trained: Path) -> None:
    policy = load_policy(trained)
    assert (policy.batch_size, policy.seed, policy.max_meals, policy.form) == (4, 3, 5, FORM)
    requests = [Request(small_context(RECIPES, seed), RECIPES) for seed in range(12)]
    proposals = policy.propose(requests)
    # The adapter counts, and merging it into the weights changes no plan.
    assert proposals == LanguageModelPlanner(*load_planner(trained), batch_size=4, max_meals=5).propose(requests)
    assert proposals != LanguageModelPlanner(*load_base(trained / "base"), FORM, max_meals=5).propose(requests)


def test_the_adapters_model_comes_ready_to_answer(trained: Path) -> None:
    model, _, form = load_planner(trained)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert form == FORM


def for_another_base(folder: Path) -> None:
    write_base_document(folder / "base", digest="another")


def without_adapter(folder: Path) -> None:
    (folder / "adapter" / "adapter_model.safetensors").unlink()


def of_another_shape(folder: Path) -> None:
    rewrite(folder / "adapter", "adapter_config.json", r=8)


def of_another_prompt(folder: Path) -> None:
    rewrite(folder, "planner.json", format={**asdict(FORM), "version": 0})


def without_planner(folder: Path) -> None:
    (folder / "planner.json").unlink()


def in_another_type(folder: Path) -> None:
    rewrite(folder, "planner.json", decoding={"dtype": "float8"})


def in_an_unknown_quantization(folder: Path) -> None:
    rewrite(folder, "planner.json", decoding={"quantization": "int3"})


@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (for_another_base, "give the base it was trained on, or train the adapter again"),
        (without_adapter, "holds no adapter_model.safetensors: the training did not end"),
        (of_another_shape, "does not fit its base model"),
        (of_another_prompt, "trained on prompt version 0"),
        (without_planner, "no model folder, it has no planner.json"),
        (in_another_type, "not a planner's description .*train the model again"),
        (in_an_unknown_quantization, "quantization is one of .*train the model again"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_model_folder_whose_parts_do_not_fit_is_refused(
    model_folder: Path, spoil: Callable[[Path], None], remedy: str
) -> None:
    spoil(model_folder)
    with pytest.raises(ModelError, match=remedy):
        load_policy(model_folder)


def test_another_rendering_of_the_same_version_is_told(model_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rewrite(model_folder, "planner.json", prompt_digest="another")
    read_planner(model_folder)
    assert "renders prompts was changed since the training" in caplog.text


def test_loading_a_model_says_nothing_that_nobody_can_act_on(
    written: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.utils.logging, "_tqdm_active", True)
    rewrite(Path(shutil.copytree(written, tmp_path / "base")), "config.json", tie_word_embeddings=True)
    folder = write_model_folder(tmp_path / "model", tmp_path / "base", ["q_proj", "lm_head"])
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        load_policy(folder)
    assert [str(each.message) for each in told] == []
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.is_progress_bar_enabled(), "as it was before"
