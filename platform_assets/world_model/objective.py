"""What the world model learns: the hidden products, and beside them what kind of trip it is.

The loss of a step is the mean over ALL its hidden items (of all ranks), plus each task's weight times the mean over all
known labels of that task. The trainer divides a sum by the number of hidden items, so a task's sum is scaled by
weight x hidden items / labels of the whole step: means of parts would depend on how a step is cut.

n hidden items, P tokens, K tasks of the network in the layout's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_TARGET, Indices
from platform_assets.world_model.network import Predictions, exclude_visible, targets
from platform_assets.world_model.rankings import TOP, ahead

# What `measured` adds up before the tasks: loss, hidden items, how many of them are among the first ten; then, by task, loss,
# known labels, right answers.
_OF_ITEMS, _OF_A_TASK = 3, 3


def masked_loss(predictions: Predictions, indices: Indices) -> Tensor:
    """Cross-entropy in nats, summed over hidden items that have a target."""
    return functional.cross_entropy(predictions.logits, targets(indices), ignore_index=NO_TARGET, reduction="sum")


def task_losses(predictions: Predictions, indices: Indices) -> Tensor:
    """[K] cross-entropy in nats, each summed over baskets whose label is known."""
    losses = [
        functional.cross_entropy(logits, labels(indices, task), ignore_index=NO_TARGET, reduction="sum")
        for task, logits in predictions.auxiliary.items()
    ]
    return torch.stack(losses) if losses else predictions.logits.new_zeros(0)


def labels(indices: Indices, task: str) -> Tensor:
    """[B] class of a task, NO_TARGET where unknown."""
    return indices.labels[:, list(layout.LABELS).index(task)]


def scales(weights: Mapping[str, float], hidden_items: int, known_labels: Sequence[int]) -> list[float]:
    """[K] what the tasks' sums of a step are multiplied by; the labels are counted by task of the layout."""
    counts = dict(zip(layout.LABELS, known_labels, strict=True))
    return [weight * hidden_items / counts[task] if counts[task] else 0.0 for task, weight in weights.items()]


def measures(tasks: int) -> int:
    """How many numbers `measured` has."""
    return _OF_ITEMS + _OF_A_TASK * tasks


def measured(predictions: Predictions, indices: Indices) -> Tensor:
    """[measures] float64 sums of a batch, for `metrics`."""
    wanted = targets(indices)
    known = wanted != NO_TARGET
    found = [masked_loss(predictions, indices), known.sum(), _among_the_first(predictions, indices, wanted, known)]
    for (task, logits), loss in zip(predictions.auxiliary.items(), task_losses(predictions, indices), strict=True):
        right = labels(indices, task)
        found += [loss, (right != NO_TARGET).sum(), (logits.argmax(1) == right).sum()]
    return torch.stack([each.double() for each in found])


def metrics(sums: Tensor, tasks: Sequence[str]) -> dict[str, float]:
    """What `measured` sums say, by name: val_hit_at_10, and of each task its loss and its accuracy."""
    _, hidden_items, hits, *rest = sums.tolist()
    found = {"val_hit_at_10": hits / hidden_items} if hidden_items else {}
    for number, task in enumerate(tasks):
        loss, known, right = rest[_OF_A_TASK * number : _OF_A_TASK * (number + 1)]
        if known:
            found |= {f"val_loss_{task}": loss / known, f"val_accuracy_{task}": right / known}
    return found


def _among_the_first(predictions: Predictions, indices: Indices, wanted: Tensor, known: Tensor) -> Tensor:
    """How many targets have fewer than ten candidates before them, out of sight."""
    logits = exclude_visible(predictions.logits, indices)[known]
    return (ahead(logits, wanted[known]) < TOP).sum()
