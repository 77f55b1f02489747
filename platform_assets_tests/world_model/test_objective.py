"""The loss and what validation measures, against loops over hidden items and baskets."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.world_model import network, objective
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_POSITION, NO_TARGET, Indices
from platform_assets.world_model.network import Predictions
from platform_assets.world_model.rankings import TOP

PRODUCTS, LENGTH = 18, 6
TASKS = ("mission_type", "basket_size")


def drawn(seed: int, baskets: int) -> tuple[Predictions, Indices]:
    """Random baskets of which some have nothing hidden, some unknown labels, and many equal logits."""
    chance = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=chance)

    tokens = torch.stack(
        [torch.randperm(PRODUCTS, generator=chance)[:LENGTH] + layout.FIRST_PRODUCT for _ in range(baskets)]
    )
    positions = whole(0, LENGTH, baskets, 2)
    positions[positions[:, 0] == positions[:, 1], 1] = NO_POSITION
    positions[whole(0, 4, baskets) == 0] = NO_POSITION
    targets = torch.where(positions == NO_POSITION, NO_TARGET, tokens.gather(1, positions.clamp(min=0)))
    for row, places in enumerate(positions.tolist()):
        tokens[row, [place for place in places if place != NO_POSITION]] = layout.MASK
    labels = whole(0, 3, baskets, 4)
    labels[whole(0, 3, baskets, 4) == 0] = NO_TARGET
    nothing = torch.zeros(baskets, dtype=torch.int64)
    known = {"tokens": tokens, "masked_positions": positions, "masked_targets": targets, "labels": labels}
    flat = {"own_tokens", "own_rows", "own_days"}
    nothing = {name: torch.zeros(0 if name in flat else baskets, dtype=torch.int64) for name in Indices._fields}
    indices = Indices(**{**nothing, **known})
    logits = whole(-3, 4, int((positions >= 0).sum()), PRODUCTS + layout.FIRST_PRODUCT).float()
    logits[:, : layout.FIRST_PRODUCT] = -math.inf
    classes = {task: torch.randn(baskets, len(layout.LABELS[task]), generator=chance) for task in TASKS}
    return Predictions(logits, logits, classes), indices


def slow(predictions: Predictions, indices: Indices) -> list[float]:
    """[loss, items, hits, and by task loss, labels, right], one hidden item and one basket after the other."""
    sums, number = [0.0, 0, 0], 0
    for row, (places, wanted) in enumerate(
        zip(indices.masked_positions.tolist(), indices.masked_targets.tolist(), strict=True)
    ):
        seen = {
            token for place, token in enumerate(indices.tokens[row].tolist())
            if place not in places and token >= layout.FIRST_PRODUCT
        }  # fmt: skip
        for place, target in zip(places, wanted, strict=True):
            if place == NO_POSITION:
                continue
            line = predictions.logits[number].tolist()
            sums[0] += math.log(sum(math.exp(each) for each in line)) - line[target]
            order = sorted((token for token in range(len(line)) if token not in seen), key=lambda t: (-line[t], t))
            sums[1] += 1
            sums[2] += order.index(target) < TOP
            number += 1
    for task in TASKS:
        part = [0.0, 0, 0]
        for line, label in zip(
            predictions.auxiliary[task].tolist(), objective.labels(indices, task).tolist(), strict=True
        ):
            if label != NO_TARGET:
                part[0] += math.log(sum(math.exp(each) for each in line)) - line[label]
                part[1] += 1
                part[2] += max(range(len(line)), key=line.__getitem__) == label
        sums += part
    return sums


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_loss_hits_and_accuracies_are_those_of_a_loop_and_unknown_labels_are_ignored(seed: int, baskets: int) -> None:
    predictions, indices = drawn(seed, baskets)
    assert objective.measured(predictions, indices).tolist() == pytest.approx(slow(predictions, indices), rel=1e-4)


def test_metrics_are_means_over_items_and_over_known_labels_of_each_task() -> None:
    sums = torch.tensor([12.0, 6, 3, 8, 4, 1, 0, 0, 0], dtype=torch.float64)
    assert objective.metrics(sums, TASKS) == {
        "val_hit_at_10": 0.5, "val_loss_mission_type": 2.0, "val_accuracy_mission_type": 0.25,
    }  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 11))
def test_a_step_learns_the_same_however_it_is_cut_into_parts(seed: int, baskets: int, cut: int) -> None:
    """The trainer divides by the hidden items of the whole step; each part knows only the counts of all."""
    predictions, indices = drawn(seed, baskets)
    weights = {"mission_type": 0.1, "basket_size": 0.05}
    hidden_items = int((indices.masked_targets != NO_TARGET).sum())
    counts = [int((indices.labels[:, number] != NO_TARGET).sum()) for number in range(4)]
    scales = torch.tensor(objective.scales(weights, hidden_items, counts))
    expected = sum(
        weight * float(objective.task_losses(predictions, indices)[number]) / max(1, counts[place])
        for number, (place, weight) in enumerate([(0, 0.1), (3, 0.05)])
    )
    expected += float(objective.masked_loss(predictions, indices)) / max(1, hidden_items)
    found, rows = 0.0, network.hidden(indices)[0]
    for part in (slice(0, cut), slice(cut, None)):
        inside = torch.zeros(baskets, dtype=torch.bool)
        inside[part] = True
        share = Predictions(
            predictions.logits[inside[rows]], predictions.logits[inside[rows]],
            {task: logits[inside] for task, logits in predictions.auxiliary.items()},
        )  # fmt: skip
        own = Indices(*(each[inside] if len(each) == baskets else each for each in indices))
        if inside.any():
            loss = objective.masked_loss(share, own) + (objective.task_losses(share, own) * scales).sum()
            found += float(loss) / max(1, hidden_items)
    if hidden_items:
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_step_without_a_known_label_of_a_task_learns_nothing_of_it() -> None:
    assert objective.scales({"mission_type": 0.1, "basket_size": 0.05}, 8, [0, 1, 2, 4]) == [0.0, 0.1]
