"""The picture of a training: loss by optimizer step, and the means of its epochs. The paper it is drawn on is `core.figures`."""

from __future__ import annotations

from collections.abc import Sequence

from platform_assets.core.figures import BLUE, GREY, ORANGE, VERMILION, blank, horizontal_grid, plain, to_png
from platform_assets.training.history import Epoch, Step


def loss_plot(
    steps: Sequence[Step], epochs: Sequence[Epoch], title: str, every: int = 1, quick: Sequence[tuple[int, float]] = ()
) -> bytes:
    """PNG: the steps' loss in grey, each epoch's training and validation loss at its last step.

    An entry of `steps` stands for `every` so many; `quick` are losses of validation in between, by step.
    """
    figure = blank(4.2)
    axes = figure.subplots()
    made = [number * every for number in range(1, len(steps) + 1)]
    axes.plot(made, [step.loss for step in steps], color=GREY, linewidth=1, label="step")
    if quick:
        axes.plot(*zip(*quick, strict=True), color=ORANGE, marker=".", linewidth=1, label="validation, fixed part")
    ends = [epoch.steps for epoch in epochs]
    axes.plot(ends, [epoch.train_loss for epoch in epochs], color=BLUE, marker="o", label="training, mean of the epoch")
    measured = [(epoch.steps, epoch.val_loss) for epoch in epochs if epoch.val_loss is not None]
    if measured:
        axes.plot(*zip(*measured, strict=True), color=VERMILION, marker="o", label="validation, after the epoch")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss per target token (nats)")
    horizontal_grid(axes)
    figure.suptitle(plain(title))
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return to_png(figure)
