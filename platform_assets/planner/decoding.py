"""The language model as a policy: prompts in, admissible and payable plans out, greedily and in batches.

What a model may say is held by `planner.constrained_answer`, how many rows are decoded at once by `planner.key_values`. What
a proposal costs is counted per row, whatever its batch: `tokens` are those of its prompt and its whole answer, forced ones
included and padding left out; `passes` are the decisions that the model was asked for, since everything forced is read along
with a decision. Decoding is greedy: nothing is sampled, there is no temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platform_assets.planner import key_values, prompt
from platform_assets.planner.constrained_answer import Answers, ConstrainedAnswer
from platform_assets.planner.language_model import (
    ModelError,
    completion_ids,
    default_device,
    load_planner,
    merge,
    prompt_ids,
)
from platform_assets.planner.model_documents import BATCH_SIZE, NF4, read_planner
from platform_assets.planner.plans import MOST_MEALS, PlanError, Request, most_meals
from platform_assets.planner.policies import Proposal
from platform_assets.planner.prompt import PromptFormat

INFEASIBLE = "no plan is feasible: no admissible recipe fits the budget"
# Seven ids of up to a dozen pieces and the JSON around them.
MOST_ANSWER_TOKENS = 128


class FreeAnswer:
    """An answer that nothing holds, up to the end token or `limit` tokens: what the model says of its own accord."""

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self.tokens: list[int] = []
        self._tokenizer, self._limit = tokenizer, limit

    @property
    def text(self) -> str:
        """What was said so far."""
        return self._tokenizer.decode(self.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    @property
    def decisions(self) -> int:
        """Every token is one."""
        return len(self.tokens)

    def options(self) -> Sequence[int] | None:
        """Anything, until the end."""
        ended = len(self.tokens) >= self._limit or self.tokens[-1:] == [self._tokenizer.eos_token_id]
        return () if ended else None

    def decide(self, token: int) -> None:
        """Add a token."""
        self.tokens.append(token)


class LanguageModelPlanner:
    """A causal language model that plans; `constrained` False lets it say what it likes, to see what it would do.

    `seed` is recorded with the settings: greedy decoding draws nothing.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        form: PromptFormat,
        batch_size: int = BATCH_SIZE,
        seed: int = 0,
        constrained: bool = True,
        max_meals: int = MOST_MEALS,
        name: str = "language_model",
    ) -> None:
        if batch_size < 1 or not 1 <= max_meals <= MOST_MEALS:
            raise ValueError(
                f"batch_size is {batch_size} and max_meals {max_meals}: write 1 or more, 1 to {MOST_MEALS}"
            )
        self.name = name
        self.model, self.tokenizer, self.form = model.eval(), tokenizer, form
        self.batch_size, self.seed, self.constrained, self.max_meals = batch_size, seed, constrained, max_meals
        self._answers = Answers(tokenizer)

    @property
    def settings(self) -> dict[str, Any]:
        """How it decodes, as it was loaded: equal settings give equal plans, bit for bit."""
        return {
            "batch_size": self.batch_size,
            "constrained": self.constrained,
            "device": _named(self.model.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "max_meals": self.max_meals,
            "quantization": NF4 if getattr(self.model, "is_loaded_in_4bit", False) else "",
            "seed": self.seed,
            "temperature": 0.0,
        }

    def propose(self, requests: Sequence[Request]) -> list[Proposal]:
        """One proposal per request, in their order; a request without a feasible plan gets none, and its reason."""
        proposals = [Proposal(None, error=INFEASIBLE)] * len(requests)
        feasible = {index: most_meals(each.candidates, each.context) for index, each in enumerate(requests)}
        asked = [index for index, most in feasible.items() if most]
        prompts = [self._prompt(requests[index]) for index in asked]
        answers = [self._begin(requests[index], min(feasible[index], self.max_meals)) for index in asked]
        key_values.decode_greedily(self.model, prompts, answers, self.batch_size)
        for index, tokens, answer in zip(asked, prompts, answers, strict=True):
            proposals[index] = _proposal(requests[index], len(tokens), answer)
        return proposals

    def _begin(self, request: Request, most: int) -> ConstrainedAnswer | FreeAnswer:
        if self.constrained:
            return self._answers.begin(request, most)
        longest = sorted(request.recipes, key=len)[-self.max_meals :]
        return FreeAnswer(self.tokenizer, len(completion_ids(self.tokenizer, prompt.completion(longest))))

    def _prompt(self, request: Request) -> list[int]:
        shown = prompt.shown_candidates(request.context, request.candidates, self.form)
        tokens = prompt_ids(self.tokenizer, prompt.render(request.context, shown, self.form))
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is not None and len(tokens) + MOST_ANSWER_TOKENS > room:
            raise ModelError(
                f"a prompt of {len(tokens)} tokens leaves no room for an answer in the model's {room} positions: show fewer "
                "candidates (max_candidates) or pantry items when training, or take a base model with more positions"
            )
        return tokens


def _proposal(request: Request, asked: int, answer: ConstrainedAnswer | FreeAnswer) -> Proposal:
    cost = asked + len(answer.tokens), answer.decisions
    try:
        return Proposal(prompt.parse(answer.text, request.context), *cost)
    except PlanError as error:
        return Proposal(None, *cost, error=str(error))


def _named(device: Any) -> str:
    """With the model of an accelerator, because two of them sum in different orders."""
    if device.type != "cuda":
        return str(device)
    import torch

    return f"{device.type} ({torch.cuda.get_device_name(device)})"


def load_policy(
    model_folder: Path,
    device: str | None = None,
    constrained: bool = True,
    dtype: str | None = None,
    batch_size: int | None = None,
) -> LanguageModelPlanner:
    """The policy of a model folder, which decodes as planner.json says; `constrained` False lets it say what it likes.

    `device` None is CUDA where there is some, else the processor; `dtype` and `batch_size` None are planner.json's. Raises ModelError.
    """
    model, tokenizer, form = load_planner(model_folder, device or default_device(), dtype)
    decoding = read_planner(model_folder).decoding
    if (dtype or decoding.dtype) == "float32" and not getattr(model, "is_loaded_in_4bit", False):
        # Half as many multiplications a pass; in 16 bits the sum of base and adapter would lose digits of the adapter, and
        # in 4 bits nearly all.
        model = merge(model)
    return LanguageModelPlanner(
        model, tokenizer, form, batch_size or decoding.batch_size, decoding.seed, constrained, decoding.max_meals
    )
