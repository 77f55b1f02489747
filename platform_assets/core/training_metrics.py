"""What a training tells in its model folder's metrics.json, and whether the model learned anything by it.

The same for every pipeline. What does not belong here: which numbers there are (a pipeline's training), what they are worth
beside another model's (`core.weekly_verdict`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platform_assets.core.quality import Outcome

METRICS = "metrics.json"
UNTUNED = "val_loss_untuned"
PART_LOSS, UNTUNED_OF_PART = "val_loss_of_part", "val_loss_untuned_of_part"
"""Of the rows that were measured before the first step, where these are not all: kept epoch, and untuned."""


@dataclass(frozen=True)
class Shown:
    """What people see of a training at first sight."""

    numbers: Mapping[str, float]
    """Those worth following over weeks."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """Name -> Markdown, for what a list of numbers buries."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """Everything, for whoever looks something up; empty where the numbers are all there is to see."""


def read_metrics(folder: Path) -> dict[str, Any]:
    """What metrics.json of a model folder says."""
    return json.loads((folder / METRICS).read_text(encoding="utf-8"))


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among them."""
    return {
        name: value for name, value in metrics.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def judge_loss(metrics: Mapping[str, Any], untuned_name: str, why_none: str, part: str = "") -> Outcome:
    """Whether the kept epoch is better than no training: a model that learned nothing must not replace anything.

    `untuned_name` is what was measured before the first step, for people, `why_none` why nothing could be measured. Where that
    was a part of the validation rows, `part` says which: the losses of that part are compared.
    """
    names = (PART_LOSS, UNTUNED_OF_PART) if part else ("val_loss", UNTUNED)
    tuned, untuned = (metrics.get(name) for name in names)
    if tuned is None or untuned is None:
        return Outcome("loss_fell", False, f"{why_none}: nothing tells whether the model learned", warning=True)
    reason = f"validation loss{f' of {part}' if part else ''} {tuned:.4f}, of {untuned_name} {untuned:.4f}"
    return Outcome("loss_fell", tuned < untuned, reason)
