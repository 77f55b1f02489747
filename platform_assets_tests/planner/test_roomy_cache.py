"""The cache with room keeps what the library's cache keeps, and reading that stops early leaves nothing out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from platform_assets.planner import key_values, roomy_cache
from platform_assets.planner.decoding import LanguageModelPlanner
from platform_assets.planner.language_model import load_base
from platform_assets.planner.plans import Request
from platform_assets.planner.prompt import PromptFormat
from platform_assets.planner.roomy_cache import RoomyCache
from platform_assets_tests.planner.small_model import small_context, small_recipes, write_base

SIZES = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
FAMILIES = {"Llama": {}, "Qwen2": {}, "Qwen3": {}, "Mistral": {"sliding_window": 4}, "Gemma3": {"sliding_window": 4}}


class Shaped:
    """As much of a model as a cache asks for."""

    class config:
        @staticmethod
        def get_text_config(decoder: bool) -> Any:
            return type("Config", (), {"num_hidden_layers": 2})


def build(family: str) -> Any:
    """A model of a family, of random weights."""
    stem = f"{family}Text" if family == "Gemma3" else family
    config = getattr(transformers, f"{stem}Config")(**SIZES, **FAMILIES[family])
    torch.manual_seed(1)
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


def kept(cache: Any) -> list[torch.Tensor]:
    """All that a cache holds."""
    return [states for layer in cache.layers for states in (layer.keys, layer.values)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.just("add"), st.integers(1, 40))
        | st.tuples(st.just("repeat"), st.integers(1, 3))
        | st.tuples(st.just("select"), st.integers(0, 5)),
        max_size=8,
    )
)
def test_it_keeps_what_the_cache_of_the_library_keeps(steps: list[tuple[str, int]]) -> None:
    torch.manual_seed(0)
    roomy, plain, rows = RoomyCache(Shaped()), DynamicCache(), 1
    for kind, number in [("add", 2), *steps]:
        if kind == "add":
            for layer in (0, 1):
                new = torch.randn(rows, 2, number, 3), torch.randn(rows, 2, number, 3)
                for ours, theirs in zip(roomy.update(*new, layer), plain.update(*new, layer), strict=True):
                    assert torch.equal(ours, theirs)
        elif kind == "repeat":
            rows *= number
            roomy.batch_repeat_interleave(number)
            plain.batch_repeat_interleave(number)
        else:
            chosen = torch.tensor([row for row in range(rows) if row % 3 != number] or [0])
            rows = len(chosen)
            roomy.batch_select_indices(chosen)
            plain.batch_select_indices(chosen)
        assert roomy.get_seq_length() == plain.get_seq_length()


def test_a_token_more_copies_nothing_while_there_is_room() -> None:
    cache, buffers = RoomyCache(Shaped()), set()
    for _ in range(roomy_cache.ROOM):
        keys, _ = cache.update(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), 0)
        buffers.add(keys.data_ptr())
    assert len(buffers) == 1


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_reading_only_keeps_what_reading_in_full_keeps_and_skips_the_end_of_the_model(family: str) -> None:
    model, tokens = build(family), torch.randint(1, 50, (3, 12))
    mask = torch.ones_like(tokens)
    mask[1, :5] = 0
    full, read = DynamicCache(), RoomyCache(model)
    ends: list[str] = []
    model.model.layers[-1].mlp.register_forward_hook(lambda *_: ends.append("last layer"))
    model.lm_head.register_forward_hook(lambda *_: ends.append("scores"))
    with read.reading_only():
        model(input_ids=tokens[:, :-1], attention_mask=mask[:, :-1], past_key_values=read, use_cache=True)
    assert not ends
    model(input_ids=tokens[:, :-1], attention_mask=mask[:, :-1], past_key_values=full, use_cache=True)
    assert ends == ["last layer", "scores"]
    for ours, theirs in zip(kept(read), kept(full), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    last = [
        model(input_ids=tokens[:, -1:], attention_mask=mask, past_key_values=cache, use_cache=True).logits
        for cache in (read, full)
    ]
    assert torch.allclose(*last, atol=1e-5)


def test_another_failure_is_not_taken_for_the_end_of_reading() -> None:
    cache = RoomyCache(Shaped())
    with pytest.raises(ValueError, match="broken"), cache.reading_only():
        raise ValueError("broken")
    cache.update(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), 1)  # in full again


@pytest.mark.parametrize("batch_size", [1, 5, 20])
def test_where_reading_stops_changes_no_plan(batch_size: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = small_recipes(40)
    base = load_base(write_base(tmp_path, recipes))
    asked = [Request(small_context(recipes, seed), recipes) for seed in range(20)]
    found = []
    for few in (0, 100, 10**9):  # every token but the last; most; none
        monkeypatch.setattr(key_values, "FEW_TOKENS", few)
        found.append(LanguageModelPlanner(*base, PromptFormat(max_candidates=12), batch_size).propose(asked))
    assert found[0] == found[1] == found[2]
