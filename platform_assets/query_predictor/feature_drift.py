"""How far the features of new queries have moved from those that a model was trained on, and whether that is beyond the limit.

A feature is beyond its limit where PSI (`feature_distance`) exceeds the usual .25, and what chance makes of so many rows and of so
many templates (`template_noise`). Historical features have few independent values, one for each user, catalog or schema and day: in
a log that stands still their PSI is 1 to 6. Their limit is also twice the farthest that a week of the reference lies from its other
weeks; with few keys only a great change exceeds it. Its oldest days, too few for a week, count as one and widen this: without them up
to 3 features of a log that stands still exceeded their limits, with them 1; but a change of history alone is seen later.

A week is beyond its limit with more than MOST_BEYOND features of texts and sessions, or more than MOST_HISTORY_BEYOND of history: a
user who came or went moves several of the latter at once, and must not use up what texts are allowed. What was measured on generated logs
is in docs/log.md: no feature of texts beyond its limit where nothing was planted, 4 of history at most; a change of how a quarter of the
queries are written is seen in any week, of costs alone only a gross one. What does not belong here: who compares which weeks (the assets), profiles of tables (`core.profile`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.quality import Outcome
from platform_assets.query_predictor.feature_distance import Distance, Values, distance
from platform_assets.query_predictor.features import HISTORICAL_NAMES
from platform_assets.query_predictor.split_features import NUMBERS
from platform_assets.query_predictor.template_noise import Templates

if TYPE_CHECKING:
    from platform_assets.query_predictor.split_features import SplitFeatures

NAME = "feature_drift"
MOST_BEYOND = 2
"""Of the 78 features of texts and sessions."""
MOST_HISTORY_BEYOND = 6
"""Of the 17 features of history."""
SCORE = "score"
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Drift:
    """The distances of all features in their order, and of how many rows; none where a side has no row."""

    distances: tuple[Distance, ...]
    reference_rows: int
    current_rows: int

    @property
    def beyond(self) -> tuple[str, ...]:
        """The features that moved too far, farthest first."""
        found = sorted((each for each in self.distances if each.is_beyond), key=lambda each: (-each.psi, each.name))
        return tuple(each.name for each in found)

    @property
    def beyond_of_history(self) -> tuple[str, ...]:
        """Those of them that tell of queries before."""
        return tuple(name for name in self.beyond if name in HISTORICAL_NAMES)

    @property
    def is_beyond_limit(self) -> bool:
        """Whether so many features moved that a model should be trained anew."""
        of_history = len(self.beyond_of_history)
        return len(self.beyond) - of_history > MOST_BEYOND or of_history > MOST_HISTORY_BEYOND

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "beyond": list(self.beyond), "is_beyond_limit": self.is_beyond_limit, "most_beyond": MOST_BEYOND,
            "beyond_of_history": list(self.beyond_of_history), "most_history_beyond": MOST_HISTORY_BEYOND,
            "reference_rows": self.reference_rows, "current_rows": self.current_rows,
            "features": {each.name: _document(each) for each in self.distances},
        }  # fmt: skip


def compare(reference: SplitFeatures, current: Sequence[SplitFeatures]) -> Drift:
    """The drift from the rows that a model was trained on to all rows of `current` together."""
    rows = sum(len(each) for each in current)
    if not len(reference) or not rows:
        return Drift((), len(reference), rows)
    weeks = _weeks(reference.created)
    weights = (reference.weight, np.concatenate([each.weight for each in current]))
    names = np.concatenate([each.template.astype(str) for each in current])
    templates = Templates.of(reference.template.astype(str), names)
    distances = []
    for place, name in enumerate(NUMBERS):
        now = np.concatenate([each.numbers[:, place] for each in current])
        parts = weeks if name in HISTORICAL_NAMES else np.zeros_like(weeks)
        distances.append(distance(name, (np.asarray(reference.numbers[:, place]), now), weights, parts, templates))
    return Drift(tuple(distances), len(reference), rows)


def score_drift(reference: Values, current: Values) -> Distance:
    """The drift of a model's scores, every row as good as another.

    Take rows as reference that the model was not grown on: on those its scores are farther apart. Raises ValueError for no rows.
    """
    if not len(reference) or not len(current):
        raise ValueError(f"no distance between {len(reference)} and {len(current)} scores; give one or more of each")
    weights = np.ones(len(reference)), np.ones(len(current))
    return distance(SCORE, (reference, current), weights, np.zeros(len(reference), np.int64))


def judge(drift: Drift) -> Outcome:
    """The warning `feature_drift`."""
    if not drift.distances:
        reason = f"nothing to compare: {drift.reference_rows:,} rows to compare with, {drift.current_rows:,} new ones"
        return Outcome(NAME, True, reason, {"beyond_of_texts": 0, "beyond_of_history": 0}, True)
    return judge_document(drift.document())


def judge_document(told: Mapping[str, Any]) -> Outcome:
    """The same of a drift's document, with or without its single features."""
    names, of_history = told["beyond"], len(told["beyond_of_history"])
    texts = len(names) - of_history
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    reason = (
        f"{texts} features of texts and sessions beyond their limits, {told['most_beyond']} allowed, and {of_history} of history, "
        f"{told['most_history_beyond']} allowed: {shown or 'none'}"
    )
    numbers = {
        "beyond_of_texts": texts, "allowed_of_texts": told["most_beyond"], "beyond_of_history": of_history,
        "allowed_of_history": told["most_history_beyond"],
    }  # fmt: skip
    return Outcome(NAME, not told["is_beyond_limit"], reason, numbers, True)


def plot(drift: Drift, title: str) -> bytes:
    """The features nearest to or beyond their limits, as PNG."""
    from platform_assets.query_predictor import feature_drift_plot

    return feature_drift_plot.draw(drift, title)


def _document(found: Distance) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if name != "name"} | {"limit": found.limit}


def _weeks(created: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """[R], which seven days, counted back from the last one; the oldest may be fewer."""
    days = created.astype("datetime64[D]")
    return ((days.max() - days) / _DAY).astype(np.int64) // 7
