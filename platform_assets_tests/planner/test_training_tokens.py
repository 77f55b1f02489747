"""Rows as tokens, the loss on completions, the adapter: against transformers' own loss and the obvious."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.planner import fine_tuning
from platform_assets.planner.fine_tuning import IGNORED, Adapter, EncodedRows, FineTuning, add_adapter, pad
from platform_assets.planner.language_model import load_base, prompt_ids
from platform_assets.planner.prompt import completion
from platform_assets.planner.training_rows import Example
from platform_assets.training.data import NO_EPOCH
from platform_assets.training.errors import TrainingError
from platform_assets.training.module import Optimisation
from platform_assets_tests.planner.small_model import small_recipes, write_base

ADAPTER = Adapter(4, 8, 0.0, ("all-linear",))
IDS = ("r001", "r002", "r003", "r004")
AT = datetime(2026, 1, 2, tzinfo=UTC)
EXAMPLES = [
    Example("p1", "h1", "train", "a short prompt", IDS[:1], AT),
    Example("p2", "h2", "train", "a prompt that is much longer than the other one", IDS, AT),
    Example("p3", "h3", "train", "another", IDS[:3], AT),
]


@pytest.fixture(scope="module", params=[True, False], ids=["one_token_ids", "ids_in_pieces"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"), small_recipes(), request.param)


def encoded(base: Path, max_length: int = 2048) -> tuple[Any, EncodedRows]:
    model, tokenizer = load_base(base)
    return model, EncodedRows(EXAMPLES, tokenizer, max_length, seed=0)


def tuned(model: Any, adapter: Adapter = ADAPTER, checkpointing: bool = False) -> FineTuning:
    return FineTuning(add_adapter(model, adapter, 0, checkpointing), Optimisation(1e-3, 10), 0)


def test_labels_are_the_completion_with_its_end_and_nothing_of_the_prompt(base: Path) -> None:
    _, rows = encoded(base)
    tokenizer = load_base(base)[1]
    content, targets = rows.collate([0, 1, 2], epoch=3)
    assert targets == int((content.labels != IGNORED).sum())
    for line, example in enumerate(EXAMPLES):
        learnt = content.labels[line][content.labels[line] != IGNORED].tolist()
        assert learnt[-1] == tokenizer.eos_token_id
        said = json.loads(tokenizer.decode(learnt[:-1]))
        assert sorted(said["recipes"].split()) == sorted(example.recipe_ids)
        assert said["count"] == len(example.recipe_ids)
        ids = content.input_ids[line][content.attention_mask[line] == 1].tolist()  # type: ignore[index]
        assert ids == [*prompt_ids(tokenizer, example.prompt), *learnt]


def test_the_loss_is_that_of_transformers_on_each_row_alone(base: Path) -> None:
    model, rows = encoded(base)
    content = rows.collate([0, 1, 2], epoch=0).content
    expected = 0.0
    for row in range(3):
        alone = rows.collate([row], epoch=0).content
        labels = torch.full_like(alone.input_ids, IGNORED)
        labels[:, -alone.labels.shape[1] :] = alone.labels
        with torch.no_grad():
            mean = model(input_ids=alone.input_ids, labels=labels).loss
        expected += float(mean) * alone.labels.shape[1]
    module = tuned(model).eval()
    with torch.no_grad():
        assert float(module.target_loss(content)) == pytest.approx(expected, rel=1e-4)
        module._keeps_logits = False
        assert float(module.target_loss(content)) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.integers(1, 9), min_size=1), st.lists(st.integers(1, 9), min_size=1)), min_size=1)
)
def test_padding_stands_on_the_left_and_counts_no_position(pairs: list[tuple[list[int], list[int]]]) -> None:
    content = pad(pairs, padding=0)
    size = max(len(start) + len(end) for start, end in pairs)
    for line, (start, end) in enumerate(pairs):
        gap = size - len(start) - len(end)
        assert content.input_ids[line].tolist() == [0] * gap + start + end
        assert content.position_ids[line].tolist()[gap:] == list(range(size - gap))
        assert [label for label in content.labels[line].tolist() if label != IGNORED] == end
        assert content.labels[line].tolist()[-len(end) :] == end
        mask = [1] * size if content.attention_mask is None else content.attention_mask[line].tolist()
        assert mask == [0] * gap + [1] * (size - gap)


def test_recipes_come_in_another_order_each_epoch_and_always_in_the_same(base: Path) -> None:
    tokenizer = load_base(base)[1]
    _, rows = encoded(base)

    def said(epoch: int) -> tuple[str, ...]:
        labels = rows.collate([1], epoch).content.labels[0].tolist()
        return tuple(json.loads(tokenizer.decode(labels[:-1]))["recipes"].split())

    orders = [said(epoch) for epoch in range(12)]
    assert len(set(orders)) > 6
    assert all(sorted(order) == list(IDS) for order in orders)
    assert orders == [said(epoch) for epoch in range(12)]
    assert said(NO_EPOCH) == said(NO_EPOCH)


def test_rows_that_are_too_long_are_left_out_and_counted(base: Path) -> None:
    _, everything = encoded(base)
    limit = sorted(everything.lengths)[1]
    _, rows = encoded(base, limit)
    assert rows.truncated == 1
    assert sorted(rows.lengths) == sorted(everything.lengths)[:2]
    assert [example.plan_id for example in rows.examples] == ["p1", "p3"]


def test_only_the_adapter_is_trained_on_the_layers_that_were_named(base: Path) -> None:
    everywhere, named = tuned(load_base(base)[0]), tuned(load_base(base)[0], Adapter(4, 8, 0.0, ("q_proj", "v_proj")))
    for module, layers in ((everywhere, 14), (named, 4)):
        trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
        assert len(trained) == 2 * layers
        assert all("lora_" in name for name in trained)
        assert module.kept_names() == trained
    assert any("down_proj" in name for name in everywhere.kept_names())


def test_a_layer_that_does_not_exist_is_named_with_those_that_do(base: Path) -> None:
    with pytest.raises(TrainingError, match=r"--lora_targets may be all-linear or any of .*'down_proj'.*'q_proj'"):
        tuned(load_base(base)[0], Adapter(4, 8, 0.0, ("nowhere",)))


def test_gradient_checkpointing_gives_the_same_gradients(base: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        model, rows = encoded(base)
        module = tuned(model, checkpointing=checkpointing).train()
        module.target_loss(rows.collate([0, 1, 2], 0).content).backward()
        gradients.append({name: value.grad for name, value in module.named_parameters() if value.grad is not None})
        assert model.is_activation_checkpointing is checkpointing
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value)


def test_a_saved_adapter_names_no_path_and_loads_to_the_same_loss(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    model, rows = encoded(base)
    module = tuned(model)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if "lora_B" in name:
                value.normal_(generator=torch.Generator().manual_seed(1))
    fine_tuning.save_adapter(module.network, tmp_path / "adapter", "tiny", "")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert str(tmp_path) not in (text := (tmp_path / "adapter" / "adapter_config.json").read_text())
    assert str(base) not in text
    loaded = FineTuning(PeftModel.from_pretrained(load_base(base)[0], str(tmp_path / "adapter")), Optimisation(1, 1), 0)
    content = rows.collate([0, 1], 0).content
    with torch.no_grad():
        assert float(loaded.eval().target_loss(content)) == float(module.eval().target_loss(content))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(IDS))
def test_a_completion_has_as_many_tokens_in_any_order(base: Path, order: list[str]) -> None:
    tokenizer = load_base(base)[1]
    lengths = {len(tokenizer(completion(each))["input_ids"]) for each in (IDS, order)}
    assert len(lengths) == 1
