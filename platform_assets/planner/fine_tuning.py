"""LoRA fine-tuning of a causal language model: rows as tokens, the loss on completions, the adapter in and out.

The prompt is not learnt: its labels are -100, and the head computes no logits there. What does not belong here: what a row
says (`planner.training_rows`, `planner.prompt`), how a training runs (`training`), the command line (`planner.training`).

B rows of a batch, S tokens of its longest row, C tokens of its longest completion.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from platform_assets.planner.language_model import completion_ids, prompt_ids, quiet_adapters
from platform_assets.planner.prompt import completion
from platform_assets.planner.training_rows import Example
from platform_assets.training.data import NO_EPOCH, Collated
from platform_assets.training.errors import TrainingError
from platform_assets.training.module import Optimisation, TargetLossModule
from platform_assets.training.randomness import generator, seed_torch

IGNORED = -100
ALL_LINEAR = "all-linear"


class Tokens(NamedTuple):
    """A batch, padded on the left so that all completions end together.

    The attention mask is None where nothing is padded. `labels` holds the last C positions only.
    """

    input_ids: Tensor  # (B, S)
    attention_mask: Tensor | None  # (B, S)
    position_ids: Tensor  # (B, S)
    labels: Tensor  # (B, C)


class EncodedRows:
    """Examples as tokens; those longer than `max_length` are left out and counted, never cut."""

    def __init__(self, examples: Sequence[Example], tokenizer: Any, max_length: int, seed: int) -> None:
        self._tokenizer, self._seed = tokenizer, seed
        encoded = [(each, prompt_ids(tokenizer, each.prompt), self._completion(each, NO_EPOCH)) for each in examples]
        kept = [(each, start, end) for each, start, end in encoded if len(start) + len(end) <= max_length]
        self.truncated = len(encoded) - len(kept)
        self.examples = [example for example, _, _ in kept]
        self.lengths: Sequence[int] = [len(start) + len(end) for _, start, end in kept]
        self._prompts = [start for _, start, _ in kept]

    def collate(self, rows: Sequence[int], epoch: int) -> Collated:
        """The rows with their recipes in this epoch's order."""
        pairs = [(self._prompts[row], self._completion(self.examples[row], epoch)) for row in rows]
        return Collated(pad(pairs, self._padding), sum(len(end) for _, end in pairs))

    @property
    def _padding(self) -> int:
        return self._tokenizer.pad_token_id or 0  # any token: it is masked

    def _completion(self, example: Example, epoch: int) -> list[int]:
        # The order of a plan means nothing. Shown one order only, a model learns that order by heart.
        order = generator("recipes", self._seed, epoch, example.plan_id).permutation(len(example.recipe_ids))
        return completion_ids(self._tokenizer, completion([example.recipe_ids[index] for index in order]))


def pad(pairs: Sequence[tuple[list[int], list[int]]], padding: int) -> Tokens:
    """Prompts and completions as one batch."""
    size, answers = max(len(start) + len(end) for start, end in pairs), max(len(end) for _, end in pairs)
    gaps = [size - len(start) - len(end) for start, end in pairs]
    ids = [[padding] * gap + start + end for gap, (start, end) in zip(gaps, pairs, strict=True)]
    labels = [[IGNORED] * (answers - len(end)) + end for _, end in pairs]
    positions = torch.arange(size).unsqueeze(0) - torch.tensor(gaps).unsqueeze(1)
    mask = (positions >= 0).long() if any(gaps) else None
    return Tokens(torch.tensor(ids), mask, positions.clamp(min=0), torch.tensor(labels))


class FineTuning(TargetLossModule):
    """A language model with an adapter; only the adapter is trained."""

    def __init__(self, network: Any, optimisation: Optimisation, seed: int) -> None:
        super().__init__(network, optimisation, seed)
        forward = inspect.signature(network.get_base_model().forward).parameters
        self._keeps_logits = "logits_to_keep" in forward

    def target_loss(self, content: Tokens) -> Tensor:
        """Cross-entropy in nats, summed over completion tokens."""
        # One more than there are labels: the token before a completion predicts its first one.
        wanted = content.labels.shape[1] + 1
        logits = self.network(
            input_ids=content.input_ids,
            attention_mask=content.attention_mask,
            position_ids=content.position_ids,
            use_cache=False,
            **({"logits_to_keep": wanted} if self._keeps_logits else {}),
        ).logits[:, -wanted:-1]  # (B, C, vocabulary)
        counted = content.labels != IGNORED
        return functional.cross_entropy(logits[counted].float(), content.labels[counted], reduction="sum")


@dataclass(frozen=True)
class Adapter:
    """The shape of a LoRA adapter."""

    r: int
    alpha: int
    dropout: float
    targets: tuple[str, ...]


def add_adapter(model: Any, adapter: Adapter, seed: int, gradient_checkpointing: bool) -> Any:
    """The model, frozen, with a fresh adapter; raises TrainingError when the targets are not names of its layers."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    settings = {"use_reentrant": False}
    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model, gradient_checkpointing, settings)
    elif gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
        model.enable_input_require_grads()
    targets = ALL_LINEAR if adapter.targets == (ALL_LINEAR,) else list(adapter.targets)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.r,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=targets,
    )
    seed_torch("adapter", seed)
    try:
        with quiet_adapters():
            return get_peft_model(model, config)
    except ValueError as error:
        names = {name.rsplit(".", 1)[-1] for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
        raise TrainingError(
            f"the adapter cannot be added ({error}): --lora_targets may be {ALL_LINEAR} or any of {sorted(names)}"
        ) from error


def save_adapter(model: Any, folder: Path, model_base: str, revision: str) -> None:
    """Write adapter_config.json and adapter_model.safetensors, the same bytes for the same adapter on any machine."""
    # Never the base's embeddings, which peft would add where the output layer has an adapter: the base lies beside it.
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    # As written: the path of the base on this machine, and names in the order of a set, which differs by process.
    config |= {"base_model_name_or_path": model_base, "revision": revision or None}
    config = {name: sorted(value) if isinstance(value, list) else value for name, value in config.items()}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
