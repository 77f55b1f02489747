"""What routes without the model: a template's own history, and a rule. Always reported; the model must beat the first.

Both read the same features as the model, so that the history is the same snapshot, as old as the model's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor.split_features import SplitFeatures

RULE_LENGTH, RULE_JOINS = 2000, 3


def fingerprint(split: SplitFeatures) -> NDArray[np.float64]:
    """[R] ranks by the template's heavy rate, then the user's; a template that never ended before has the user's rate alone."""
    user = np.nan_to_num(split.number("user_heavy_rate"), nan=0.0)
    known = np.nan_to_num(split.number("template_queries"), nan=0.0) > 0
    template = np.where(known, np.nan_to_num(split.number("template_heavy_rate"), nan=0.0), user)
    return np.unique(np.stack([template, user], axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.float64)


def rule(split: SplitFeatures) -> NDArray[np.float64]:
    """[R] how far a query is beyond length 2000 or 3 joins, as a multiple; above 1 the rule routes it as heavy.

    A text that was not parsed has no joins to tell: its length alone counts.
    """
    length, joins = split.number("characters").astype(np.float64), split.number("joins").astype(np.float64)
    return np.fmax(np.nan_to_num(length, nan=0.0) / RULE_LENGTH, np.nan_to_num(joins, nan=0.0) / RULE_JOINS)


def follows_rule(split: SplitFeatures) -> NDArray[np.bool_]:
    """[R] whether the rule as it stands routes a query as heavy."""
    return rule(split) > 1


BASELINES: dict[str, Callable[[SplitFeatures], NDArray[np.float64]]] = {"fingerprint": fingerprint, "rule": rule}
