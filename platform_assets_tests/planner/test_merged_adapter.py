"""A merged adapter answers as one beside its base, also where the output layer shares its weights with the embeddings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from platform_assets.planner import fine_tuning
from platform_assets.planner.language_model import load_base, merge
from platform_assets_tests.planner.small_model import small_recipes, write_base


@pytest.mark.parametrize("targets", [("q_proj", "down_proj"), ("q_proj", "lm_head")])
def test_merging_changes_no_answer_and_an_adapter_holds_no_weights_of_the_base(
    tmp_path: Path, targets: tuple[str, ...]
) -> None:
    model, _ = load_base(write_base(tmp_path / "base", small_recipes()))
    model.config.tie_word_embeddings = True
    model.tie_weights()
    adapted = fine_tuning.add_adapter(
        model, fine_tuning.Adapter(4, 8, 0.0, targets), seed=1, gradient_checkpointing=False
    ).eval()
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.5, generator=torch.Generator().manual_seed(3))
    fine_tuning.save_adapter(adapted, tmp_path / "adapter", "base", "")
    with torch.inference_mode():
        beside = adapted(torch.arange(20)[None]).logits
        merged = merge(adapted)(torch.arange(20)[None]).logits
    assert torch.allclose(beside, merged, atol=1e-4)
    from safetensors import safe_open

    with safe_open(str(tmp_path / "adapter" / "adapter_model.safetensors"), "pt") as saved:
        assert all("lora_" in name for name in saved.keys())  # noqa: SIM118 - no mapping


def test_an_adapter_of_the_output_layer_is_read_back(tmp_path: Path) -> None:
    from peft import PeftModel

    base = write_base(tmp_path / "base", small_recipes())
    adapted = fine_tuning.add_adapter(
        load_base(base)[0], fine_tuning.Adapter(4, 8, 0.0, ("lm_head",)), seed=1, gradient_checkpointing=False
    ).eval()
    fine_tuning.save_adapter(adapted, tmp_path / "adapter", "base", "")
    again = PeftModel.from_pretrained(load_base(base)[0], str(tmp_path / "adapter")).eval()
    with torch.inference_mode():
        assert torch.equal(adapted(torch.arange(9)[None]).logits, again(torch.arange(9)[None]).logits)
