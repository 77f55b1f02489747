"""The rankers that a model must beat, from evidence to scores: popularity, habit, neighbours, EASE, and a tuned mixture.

What is tuned is tuned on validation weeks, by hit@10 of one hidden product a basket: the mixture's weights and EASE's
regularisation; among equals the first of the grid stands. Popularity decides wherever a ranker has no opinion. Test weeks
are none of this module's business; ranks are `world_model.rankings`'.

n baskets, P tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from platform_assets.world_model import ease, rankings
from platform_assets.world_model.evidence import Evidence, EvidenceReader, Scores
from platform_assets.world_model.questions import Questions
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache

POPULARITY, OWN, NEIGHBOURS, EASE = "popularity", "own_frequency", "item_neighbours", "ease"
UNTUNED, MIXTURE, PREVIOUS = "untuned_mixture", "mixture", "previous_basket"
# Less than what one purchase, or the least cosine, is worth.
_TIE_BREAK = 1e-6


class TuningError(ValueError):
    """There is nothing to tune on; the message names the remedy."""


@dataclass(frozen=True)
class Weights:
    """Of the mixture: own share + `neighbours` x share of neighbours + `popularity` x share of popularity."""

    half_life: float | None = None
    """Days after which a purchase weighs half; None: all purchases weigh alike."""
    shrinkage: float = 0.0
    """Purchases added below the line of the own share: few purchases say less."""
    neighbours: float = 1.0
    popularity: float = 0.05


GRID = tuple(
    Weights(*each) for each in product((None, 120.0, 60.0, 30.0), (0.0, 20.0), (0.25, 0.5, 1.0, 2.0, 4.0), (0.05, 0.5))
)


def popularity(evidence: Evidence) -> Scores:
    """By the train weeks' purchases, the same for everyone."""
    return np.broadcast_to(evidence.popularity, evidence.neighbours.shape).copy()


def own_frequency(evidence: Evidence) -> Scores:
    """By how often the customer has bought it so far."""
    return evidence.own() + _TIE_BREAK * evidence.popularity


def item_neighbours(evidence: Evidence) -> Scores:
    """By the summed cosine of co-purchase with what is visible."""
    return evidence.neighbours + _TIE_BREAK * evidence.popularity


def previous_basket(evidence: Evidence) -> Scores:
    """What was bought on the customer's last day with a purchase; the cache tells a customer's visits of one day not apart."""
    return evidence.last_day() + _TIE_BREAK * evidence.popularity


def mixture(evidence: Evidence, weights: Weights) -> Scores:
    """Own frequency, neighbours and popularity, each as a share."""
    own = _share(evidence.own(weights.half_life), weights.shrinkage)
    return own + weights.neighbours * _share(evidence.neighbours) + weights.popularity * evidence.popularity


def _share(values: Scores, shrinkage: float = 0.0) -> Scores:
    """[n, P] each row by its sum; a row of zeros stays."""
    whole = values.sum(1, keepdims=True) + shrinkage
    return values / np.where(whole > 0, whole, 1.0)


@dataclass(frozen=True)
class Baselines:
    """All rankers, tuned."""

    weights: Weights
    ease_weights: NDArray[np.float32] | None
    tuned: Mapping[str, Any]
    """What was chosen and how it did on the validation weeks."""

    def scores(self, evidence: Evidence) -> Iterator[tuple[str, Scores]]:
        """Name and [n, P] scores of each ranker of a hidden product."""
        for name, rank in (*_PLAIN.items(), (MIXTURE, self.mixture)):
            yield name, rank(evidence)
        if self.ease_weights is not None:
            yield EASE, _ease(evidence, self.ease_weights)

    def next_scores(self, evidence: Evidence) -> Iterator[tuple[str, Scores]]:
        """Name and [n, P] scores of each ranker of a basket of which nothing is visible."""
        for name, rank in (*_NEXT.items(), (MIXTURE, self.mixture)):
            yield name, rank(evidence)

    def mixture(self, evidence: Evidence) -> Scores:
        """The tuned mixture's scores."""
        return mixture(evidence, self.weights)


_PLAIN: dict[str, Callable[[Evidence], Scores]] = {
    POPULARITY: popularity, OWN: own_frequency, NEIGHBOURS: item_neighbours,
    UNTUNED: lambda evidence: mixture(evidence, Weights()),
}  # fmt: skip
_NEXT: dict[str, Callable[[Evidence], Scores]] = {
    POPULARITY: popularity,
    OWN: own_frequency,
    PREVIOUS: previous_basket,
}


def tune(
    cache: TensorCache, validation: SplitArrays, asked: Sequence[Questions], say: Callable[[str], None] = lambda line: None
) -> Baselines:  # fmt: skip
    """The baselines, tuned on questions of the validation weeks. Raises TuningError without any."""
    baskets = sum(map(len, asked))
    if not baskets:
        raise TuningError(
            "no validation basket has two or more items of which one is known: there is nothing to tune on; take a "
            "tensor cache with more weeks"
        )
    reader = EvidenceReader(cache, validation)
    hits = np.zeros(len(GRID), np.int64)
    for questions in asked:
        hits += _grid_hits(reader.read(questions), questions)
    best = int(hits.argmax())
    say(f"mixture: {GRID[best]}, hit@10 {hits[best] / baskets:.4f} on {baskets:,} validation baskets")
    chosen, strength, found = _tune_ease(cache, reader, asked, say)
    tuned = {"baskets": baskets, "mixture": {**vars(GRID[best]), "hit_at_10": float(hits[best] / baskets)}}
    if strength is not None:
        tuned["ease"] = {"strength": strength, "hit_at_10": found / baskets}
    return Baselines(GRID[best], chosen, tuned)


def _grid_hits(evidence: Evidence, questions: Questions) -> NDArray[np.int64]:
    """Hits of each member of the grid: the sums of `mixture`, their parts computed once."""
    targets = torch.from_numpy(questions.targets)
    barred = rankings.excluding(torch.zeros(evidence.neighbours.shape, dtype=torch.float64), *_seen(questions, "cpu"))
    neighbours, popular = torch.from_numpy(_share(evidence.neighbours)), torch.from_numpy(evidence.popularity)
    found, before = [], None
    own = neighbours
    for each in GRID:
        if before is None or (each.half_life, each.shrinkage) != (before.half_life, before.shrinkage):
            own = torch.from_numpy(_share(evidence.own(each.half_life), each.shrinkage)) + barred
        scores = own + each.neighbours * neighbours + each.popularity * popular
        found.append(int((rankings.ranks(scores, targets) <= rankings.TOP).sum()))
        before = each
    return np.array(found)


def _tune_ease(
    cache: TensorCache, reader: EvidenceReader, asked: Iterable[Questions], say: Callable[[str], None]
) -> tuple[NDArray[np.float32] | None, float | None, int]:
    """EASE's weights, their strength and hits; (None, None, 0) where there are too many products."""
    if cache.tokens > ease.MOST_PRODUCTS:
        say(f"EASE is left out: {cache.tokens:,} products, and its inverse is made for up to {ease.MOST_PRODUCTS:,}")
        return None, None, 0
    evidences = [(reader.read(questions).visible, questions) for questions in asked]
    best: tuple[NDArray[np.float32] | None, float | None, int] = (None, None, -1)
    for strength, matrix in ease.each(cache):
        hits = sum(_hits(np.asarray(visible @ matrix, np.float64), questions) for visible, questions in evidences)
        if hits > best[2]:
            best = (matrix, strength, hits)
    say(f"EASE: strength {best[1]:g}")
    return best


def _ease(evidence: Evidence, matrix: NDArray[np.float32]) -> Scores:
    return np.asarray(evidence.visible @ matrix, np.float64) + _TIE_BREAK * evidence.popularity


def _hits(scores: Scores, questions: Questions) -> int:
    return int((rank(torch.from_numpy(scores), questions) <= rankings.TOP).sum())


def rank(scores: torch.Tensor, questions: Questions) -> torch.Tensor:
    """[n] the rank of each hidden product, the visible ones excluded; on the scores' device."""
    excluded = rankings.excluding(scores, *_seen(questions, scores.device))
    return rankings.ranks(excluded, torch.from_numpy(questions.targets).to(scores.device))


def _seen(questions: Questions, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    rows, tokens = questions.visible_rows, questions.visible_tokens
    return torch.from_numpy(rows).to(device), torch.from_numpy(tokens).to(device)
