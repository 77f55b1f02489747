"""What people see of a trained query predictor: what is required of it, its headline on the test days, and what to follow over weeks.

Read from metrics.json, which holds some 160 numbers. What does not belong here: measuring them (`evaluation`), judging them
(`requirements`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platform_assets.core.training_metrics import Shown
from platform_assets.core.verdict_text import requirements_table
from platform_assets.query_predictor.query_baselines import BASELINES

FOLLOWED = ("test_recall", "test_routed_share", "test_auc", "test_average_precision", "test_rows", "test_heavy")
"""Worth a line over the weeks."""
_PARTS = {"all": "", "seen templates": "seen_templates_", "unseen templates": "unseen_templates_"}
_ROWS = {
    "recall, end to end": "recall", "recall, surely above": "recall_lower_bound", "routed share": "routed_share", "AUC": "auc",
    "average precision": "average_precision", "precision": "precision", "F1": "f1", "queries": "rows", "heavy": "heavy",
    "missed": "missed",
}  # fmt: skip
_AT_SAME_RECALL = "routed_share_at_models_recall"


def shown(metrics: Mapping[str, Any]) -> Shown:
    """Two tables, a handful of numbers, and the rest as a document."""
    numbers = {name: metrics[name] for name in FOLLOWED if name in metrics}
    rest = {name: value for name, value in metrics.items() if name not in numbers}
    tables = {"requirements": requirements_table(metrics["requirement_checks"]), "summary": table(metrics)}
    return Shown(numbers, tables, rest)


def table(metrics: Mapping[str, Any]) -> str:
    """Markdown: the test days with the frozen threshold, by kind of template, beside what ranks without a model.

    Each baseline routes what it needs, on average where its ranks tie, to catch as many heavy queries as the model.
    """
    named = (*_PARTS, *(f"{name} at the same recall" for name in BASELINES))
    lines = [f"| test days | {' | '.join(named)} |", "|---|" + "---:|" * len(named)]
    for called, name in _ROWS.items():
        values = [metrics.get(f"test_{part}{name}") for part in _PARTS.values()]
        values += [_of_baseline(metrics, each, name) for each in BASELINES]
        lines.append(f"| {called} | {' | '.join(_told(value) for value in values)} |")
    return "\n".join(lines)


def _of_baseline(metrics: Mapping[str, Any], baseline: str, name: str) -> float | str | None:
    if name in ("auc", "average_precision"):
        return metrics.get(f"test_{baseline}_{name}")
    share = metrics.get(f"test_{baseline}_{_AT_SAME_RECALL}")
    if name == "routed_share":
        return "never catches as many" if share is None else share
    if share is None:
        return None
    rows, heavy, missed = (metrics[f"test_{counted}"] for counted in ("rows", "heavy", "missed"))
    caught, sent = heavy - missed, share * rows
    if name == "precision":
        return caught / sent if sent else None
    if name == "f1":
        return 2 * caught / (sent + heavy) if sent + heavy else None
    return metrics.get(f"test_{name}")


def _told(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
