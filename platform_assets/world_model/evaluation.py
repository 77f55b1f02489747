"""A model and its baselines on the baskets of a split: the rank of one hidden product each, auxiliary classes, the next basket.

Every ranker is asked the same: one hidden item a basket, drawn once by seed and basket id, the visible ones excluded, T6
withheld. A basket counts once, whatever batch it was in. Whole baskets are asked for with a single MASK in sight and no length;
what counts is how much of the basket is among the ten products named first. Which baskets are asked about is
`world_model.evaluation_questions`', what comes of the numbers `world_model.replay_tables`' and `world_model.judgement`'s.

n baskets of a batch, P tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from platform_assets.world_model import rankings
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.auxiliary_baselines import AuxiliaryBaselines
from platform_assets.world_model.baselines import Baselines, rank
from platform_assets.world_model.batch import WorldModelBatch
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.evaluation_questions import Settings, excluded, loader
from platform_assets.world_model.evidence import EvidenceReader
from platform_assets.world_model.loader import EvaluationDataLoader
from platform_assets.world_model.network import WorldModelNetwork
from platform_assets.world_model.questions import Answers, Questions, of_batch, of_next_baskets

MODEL, NETWORK = "model", "network"
LOOK_UP, MAJORITY = "look_up", "majority"
SAY_EVERY_SECONDS = 10.0

Say = Callable[[str], None]
Columns = dict[str, NDArray[Any]]


class EvaluationError(ValueError):
    """A model or a split that cannot be evaluated; the message names the remedy."""


@dataclass(frozen=True)
class Evaluated:
    """Of N baskets, in the order of their places in the split."""

    rows: NDArray[np.int64]
    """[N] places in the split's arrays."""
    ranks: Columns
    """Ranker -> [N] rank of the hidden product, from 1."""
    next_found: Columns
    """Ranker -> [N] products of the whole basket among the ten named first."""
    next_size: NDArray[np.int64]
    """[N] known products of the whole basket."""
    classes: dict[str, Columns]
    """Task -> whose (model, look_up, majority) -> [N] class."""
    labels: Columns
    """Task -> [N] true class, NO_TARGET where unknown."""
    excluded: Mapping[str, int]
    """Reason -> baskets of the split that were not asked."""


@dataclass
class _Parts:
    """Arrays of the batches, by name."""

    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def add(self, name: str, values: NDArray[Any]) -> None:
        self.columns.setdefault(name, []).append(values)

    def ordered(self) -> Columns:
        """Each in one piece, by place in the split."""
        whole = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        order = np.argsort(whole["rows"])
        return {name: values[order] for name, values in whole.items()}


def evaluate(
    network: WorldModelNetwork, history: int, dataset: WorldModelDataset, baselines: Baselines,
    auxiliary: AuxiliaryBaselines, settings: Settings, say: Say = lambda line: None,
) -> Evaluated:  # fmt: skip
    """Ask everyone about the split; `history` is how many purchases the network looks at.

    Raises EvaluationError for a model that wants to be told the trip, and for a split without a basket to ask about.
    """
    if network.options.with_trip or not dataset.enable_auxiliary_tasks:
        raise EvaluationError(
            "T6 follows from the whole basket, the hidden item included, and is withheld here: evaluate a model that was "
            "trained without --with_trip"
        )
    asker = _Asker(network, dataset, baselines, auxiliary, settings, say)
    hidden = asker.hidden(loader(dataset, settings, history))
    if hidden is None:
        raise EvaluationError(
            f"no basket of the {settings.split} split has two or more items of which one is known: there is nothing to "
            "rank; take a tensor cache with more weeks"
        )
    following = asker.following(loader(dataset, settings, history, next_basket=True))
    return _put_together(hidden, following, dataset, settings)


@dataclass
class _Asker:
    network: WorldModelNetwork
    dataset: WorldModelDataset
    baselines: Baselines
    auxiliary: AuxiliaryBaselines
    settings: Settings
    say: Say

    def __post_init__(self) -> None:
        self._device = torch.device(self.settings.device)
        self._evidence = EvidenceReader(self.dataset.cache, self.dataset.arrays)

    def hidden(self, batches: EvaluationDataLoader) -> Columns | None:
        """Ranks of hidden products and classes of all baskets that are asked; None where there is none."""
        parts = _Parts()
        for _, batch in self._told("hidden products", batches):
            asked = of_batch(batch)
            if not len(asked):
                continue
            parts.add("rows", asked.rows)
            predictions = self._predict(batch)
            for name, logits in ((MODEL, predictions.logits), (NETWORK, predictions.network_logits)):
                parts.add(f"rank {name}", rank(logits, asked).cpu().numpy())
            for name, scores in self.baselines.scores(self._evidence.read(asked)):
                parts.add(f"rank {name}", rank(torch.from_numpy(scores), asked).numpy())
            self._classify(parts, batch, predictions.auxiliary, asked)
        return parts.ordered() if parts.columns else None

    def following(self, batches: EvaluationDataLoader) -> Columns:
        """How much of each whole basket is among the first ten."""
        parts = _Parts()
        for _, batch in self._told("next baskets", batches):
            asked, answers = of_next_baskets(batch)
            parts.add("rows", asked.rows)
            parts.add("size", np.bincount(answers.rows, minlength=len(asked)))
            parts.add(f"found {MODEL}", _found(self._predict(batch).logits, asked, answers))
            for name, scores in self.baselines.next_scores(self._evidence.read(asked)):
                parts.add(f"found {name}", _found(torch.from_numpy(scores), asked, answers))
        return parts.ordered()

    def _predict(self, batch: WorldModelBatch) -> Any:
        there = batch.to(self._device)
        with torch.inference_mode():
            return self.network(there, self.dataset.encoder_on(self._device))

    def _classify(
        self, parts: _Parts, batch: WorldModelBatch, heads: Mapping[str, torch.Tensor], asked: Questions
    ) -> None:
        kept = np.isin(batch.indices.rows.numpy(), asked.rows)
        lengths = self.dataset.arrays.offsets[asked.rows + 1] - self.dataset.arrays.offsets[asked.rows]
        looked_up = self.auxiliary.predict(asked, lengths)
        for number, task in enumerate(layout.LABELS):
            parts.add(f"label {task}", batch.indices.labels[:, number].numpy()[kept])
            parts.add(f"{LOOK_UP} {task}", looked_up[:, number])
            parts.add(f"{MAJORITY} {task}", np.full(len(asked), self.auxiliary.majority[number]))
            if task in heads:
                parts.add(f"{MODEL} {task}", heads[task].argmax(1).cpu().numpy()[kept])

    def _told(self, what: str, batches: EvaluationDataLoader) -> Iterator[tuple[Any, WorldModelBatch]]:
        """The batches, saying now and then how far they are."""
        began = told = time.monotonic()
        done = 0
        for number, found in enumerate(batches, 1):
            yield found
            done += len(found[1])
            now = time.monotonic()
            if now - told > SAY_EVERY_SECONDS or number == len(batches):
                told = now
                self.say(
                    f"{what}: {done:,} baskets, {number:,} of {len(batches):,} batches, {done / (now - began):,.0f} baskets/s"
                )


def _found(scores: torch.Tensor, asked: Questions, answers: Answers) -> NDArray[np.int64]:
    """[n] how many products of each basket are among its first ten."""
    nothing = torch.zeros(0, dtype=torch.int64, device=scores.device)
    chosen = rankings.top(rankings.excluding(scores, nothing, nothing))
    rows, tokens = (torch.from_numpy(each).to(scores.device) for each in (answers.rows, answers.tokens))
    return rankings.found(chosen, rows, tokens).cpu().numpy()


def _put_together(hidden: Columns, following: Columns, dataset: WorldModelDataset, settings: Settings) -> Evaluated:
    places = np.searchsorted(following["rows"], hidden["rows"])
    classes = {
        task: {who: hidden[f"{who} {task}"] for who in (MODEL, LOOK_UP, MAJORITY) if f"{who} {task}" in hidden}
        for task in layout.LABELS
    }
    return Evaluated(
        rows=hidden["rows"],
        ranks={name.removeprefix("rank "): each for name, each in hidden.items() if name.startswith("rank ")},
        next_found={
            name.removeprefix("found "): each[places] for name, each in following.items() if name.startswith("found ")
        },
        next_size=following["size"][places],
        classes=classes,
        labels={task: hidden[f"label {task}"] for task in layout.LABELS},
        excluded=excluded(dataset, settings),
    )
