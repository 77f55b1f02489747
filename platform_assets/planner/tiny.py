"""The tiny base model: a Llama of half a million weights that learns a catalogue from invented households, on a laptop.

Its recipes start out as what the catalogue says of them (cuisine, protein, tags, ingredients), so that a taste for some
recipes is a taste for their likes. Then it sees fresh invented households at every step, rendered as real requests are. It
never sees a logged plan: those are the adapter's to learn. Equal catalogues and options give equal bytes on one machine. What
does not belong here: who the households are (`synthetic_households`), tokens (`tiny_tokenizer`).
Legend: B rows, S tokens, M predictions of a batch, V vocabulary, D width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from platform_assets.core.digest import digest_files, sha256_of
from platform_assets.planner import prompt
from platform_assets.planner.model_documents import BASE, FILES, BaseModel
from platform_assets.planner.plans import PlanError, Recipe, admissible
from platform_assets.planner.synthetic_households import Attributes, Task, synthetic_tasks
from platform_assets.planner.tiny_tokenizer import build_tokenizer, recipe_token, word_token

if TYPE_CHECKING:
    import torch

FEWEST_RECIPES = 10
SPREAD = 0.08  # of first weights, about 1 / sqrt(width): with the library's .02 less is learnt in the same time
SHARES = {"cuisine": 1.0, "protein": 1.0, "tag": 0.8, "ingredient": 0.5}  # of a recipe's first embedding
OWN_SHARE = 0.7
DRAWN_AT_ONCE = 64  # batches


@dataclass(frozen=True)
class TinyOptions:
    """What the tiny model is made with; all of it is recorded in base.json."""

    steps: int = 3000
    """Batches of fresh households: 6 to 8 minutes on one free core. About 1,200 are the demo's 3 minutes."""
    batch_size: int = 32
    """Households of a step."""
    lr: float = 2e-3
    """Highest learning rate, cosine after a short warm-up."""
    beta2: float = 0.98
    """AdamW's: a short memory, since every batch is fresh."""
    width: int = 128
    """Of the residual stream."""
    layers: int = 2
    """Of the transformer."""
    heads: int = 4
    """Of each layer's attention."""
    max_candidates: int = 0
    """How many admissible recipes the prompts show. None: decoding admits the admissible ones anyway."""
    seed: int = 0
    """Of first weights and households."""
    threads: int = 1
    """More are slower at this size, unless their cores are idle."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the option that cannot be."""
        for name in ("steps", "batch_size", "width", "layers", "heads", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of the tiny model must be 1 or more, not {getattr(self, name)}")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} of the tiny model must be a multiple of 2 x {self.heads} heads")


class Batch(NamedTuple):
    """B rows, padded on the right, and their M predictions in answers as (row, position) and weights over V."""

    ids: torch.Tensor  # (B, S)
    rows: torch.Tensor  # (M,)
    positions: torch.Tensor  # (M,)
    targets: torch.Tensor  # (M, V), each row sums to 1


def build_tiny(
    recipes: Mapping[str, Recipe],
    target: Path,
    options: TinyOptions = TinyOptions(),
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train the model, write its base folder and return base.json; raises PlanError for a catalogue too small to learn."""
    if len(recipes) < FEWEST_RECIPES:
        raise PlanError(f"a tiny model needs {FEWEST_RECIPES} recipes or more, the catalogue has {len(recipes)}")
    attributes, tokenizer = Attributes.of(recipes), build_tokenizer(recipes)
    with _threads(options.threads):
        model = first_model(attributes, tokenizer, options)
        _train(model, _batches(attributes, tokenizer, options), options, progress)
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return _describe(target, options)


def first_model(attributes: Attributes, tokenizer: Any, options: TinyOptions) -> Any:
    """The untrained model, its recipes and words placed by the catalogue."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=options.width, intermediate_size=3 * options.width,
        num_hidden_layers=options.layers, num_attention_heads=options.heads, num_key_value_heads=options.heads,
        max_position_embeddings=4096, initializer_range=SPREAD, tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model: Any = LlamaForCausalLM(config)
        embeddings = model.get_input_embeddings().weight.data
        for token, vector in _first_embeddings(attributes, options.width).items():
            embeddings[tokenizer.convert_tokens_to_ids(token)] = vector
    return model


def collate(tasks: Sequence[Task], tokenizer: Any, form: prompt.PromptFormat, recipes: Sequence[Recipe]) -> Batch:
    """Tasks as one batch. Wherever an answer names a recipe, all those it has not named yet share the prediction.

    The order of a plan means nothing: asked for one order's next recipe, the model would be told to doubt the others.
    """
    import torch

    rows, positions, shares = [], [], []
    texts = [_shown(task, form, recipes) for task in tasks]
    pairs = list(zip(_questions(texts, tokenizer), _answers(tasks, tokenizer), strict=True))
    for row, (question, answer) in enumerate(pairs):
        named = {tokenizer.convert_tokens_to_ids(recipe_token(each)) for each in tasks[row].wanted}
        rows += [row] * len(answer)
        positions += range(len(question) - 1, len(question) + len(answer) - 1)
        shares += _shares(answer, named)
    whole = [torch.tensor(question + answer) for question, answer in pairs]
    ids = torch.nn.utils.rnn.pad_sequence(whole, batch_first=True, padding_value=tokenizer.pad_token_id)
    targets = torch.zeros(len(shares), len(tokenizer))
    for index, share in enumerate(shares):
        targets[index, share] = 1 / len(share)
    return Batch(ids, torch.tensor(rows), torch.tensor(positions), targets)


def loss_of(model: Any, batch: Batch) -> torch.Tensor:
    """Cross-entropy in nats, mean over the batch's predictions."""
    # Padding stands on the right, where a causal model does not look: no mask is needed.
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[batch.rows, batch.positions])
    return -(logits.log_softmax(-1) * batch.targets).sum() / len(batch.rows)


def _questions(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """As `language_model.prompt_ids`, for many at once."""
    messages = [[{"role": "user", "content": text}] for text in texts]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return tokenizer(asked, add_special_tokens=False)["input_ids"]


def _answers(tasks: Sequence[Task], tokenizer: Any) -> list[list[int]]:
    texts = [prompt.completion(task.wanted) + tokenizer.eos_token for task in tasks]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def _shares(answer: Sequence[int], named: set[int]) -> list[list[int]]:
    """Per token of an answer the tokens that may stand there."""
    named_from = [[token for token in answer[index:] if token in named] for index in range(len(answer))]
    return [left if token in named else [token] for token, left in zip(answer, named_from, strict=True)]


def _shown(task: Task, form: prompt.PromptFormat, recipes: Sequence[Recipe]) -> str:
    candidates = admissible(task.context, recipes) if form.max_candidates else []
    return prompt.render(task.context, prompt.shown_candidates(task.context, candidates, form), form)


def _first_embeddings(attributes: Attributes, width: int) -> dict[str, torch.Tensor]:
    """Token -> (D,): a direction for every name of the catalogue; a recipe is the sum of its names and something of its own."""
    import torch

    words: dict[str, torch.Tensor] = {}
    recipes = OWN_SHARE * SPREAD * torch.randn(len(attributes), width)
    for kind, (names, matrix) in attributes.groups.items():
        directions = SPREAD * torch.randn(len(names), width)
        # A name that is both a protein and an ingredient is one word: it points to both.
        for name, direction in zip(names, directions, strict=True):
            words[word_token(name)] = words.get(word_token(name), 0) + direction
        centred = torch.tensor(matrix - matrix.mean(axis=0), dtype=torch.float32)
        recipes += SHARES[kind] * (centred @ directions)
    recipes *= SPREAD / recipes.std()
    return words | {recipe_token(each.id): row for each, row in zip(attributes.recipes, recipes, strict=True)}


def _batches(attributes: Attributes, tokenizer: Any, options: TinyOptions) -> Iterator[Batch]:
    rng = np.random.default_rng(options.seed)
    form = prompt.PromptFormat(max_candidates=options.max_candidates)
    size = options.batch_size
    while True:
        # Rows of about one length share a batch: less padding.
        tasks = sorted(synthetic_tasks(rng, attributes, DRAWN_AT_ONCE * size), key=_length)
        for index in rng.permutation(DRAWN_AT_ONCE):
            yield collate(tasks[index * size : (index + 1) * size], tokenizer, form, attributes.recipes)


def _length(task: Task) -> int:
    """About the tokens of a task, but for what all have."""
    return len(task.context.pantry) + sum(len(plan.meals) + 1 for plan in task.context.recent_plans) + len(task.wanted)


def _train(model: Any, batches: Iterator[Batch], options: TinyOptions, progress: Callable[[str], None]) -> None:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, options.beta2), weight_decay=0.0)
    told, since = max(1, options.steps // 20), 0.0
    for step, batch in zip(range(options.steps), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = options.lr * _schedule(step, options.steps)
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        since += loss.item()
        if (step + 1) % told == 0:
            progress(f"tiny base model: step {step + 1} of {options.steps}, loss {since / told:.3f}")
            since = 0.0


def _schedule(step: int, steps: int) -> float:
    """Share of the highest learning rate: a short rise, then a cosine down to a twentieth."""
    return min(1.0, (step + 1) / 50) * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))


def _describe(folder: Path, options: TinyOptions) -> dict[str, Any]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != BASE)
    digest = digest_files((path.name, sha256_of(path)) for path in files)
    document = asdict(BaseModel("tiny", "", FILES, digest, "float32", asdict(options)))
    (folder / BASE).write_text(json.dumps(document, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    return document


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
