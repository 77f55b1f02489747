"""A query as the model sees it, when it is served: base, historical and term features in one row.

The text's part is remembered (`text_cache`), as most queries were asked before; context and history are looked up anew. Training's
rows are checked against this (`parity`). What does not belong here: what follows from the row (`served_model`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor.context_features import Context, context_features
from platform_assets.query_predictor.features import (
    BASE_FEATURE_COUNT,
    HISTORICAL_FEATURE_COUNT,
    SQL_NAMES,
)
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.sql_features import ParseStatus
from platform_assets.query_predictor.text_cache import REMEMBERED, KnownText, TextCache
from platform_assets.query_predictor.text_terms import TermWeights

DENSE_COUNT = BASE_FEATURE_COUNT + HISTORICAL_FEATURE_COUNT


class ServedRow(NamedTuple):
    """Float32 [95 + terms], missing is NaN; how the text was read; and its template."""

    values: NDArray[np.float32]
    status: ParseStatus
    template: str


class ServedFeatures:
    """Rows by one snapshot and one vocabulary; safe for threads."""

    def __init__(self, snapshot: HistorySnapshot, terms: TermWeights, capacity: int = REMEMBERED) -> None:
        self.snapshot, self.terms, self.texts = snapshot, terms, TextCache(capacity, terms)

    def __call__(self, text: str, user: str, context: Context) -> ServedRow:
        """The row of a query. Never raises for what a text holds; ValueError for a creation time without a time zone."""
        return self.row(self.texts.known(text), user, context)

    def row(self, known: KnownText, user: str, context: Context) -> ServedRow:
        """The same for whoever has looked the text up in `texts` already."""
        values = np.zeros(DENSE_COUNT + len(self.terms), np.float32)
        values[: len(SQL_NAMES)] = known.values
        values[len(SQL_NAMES) : BASE_FEATURE_COUNT] = context_features(context)
        history = self.snapshot.features(user, context.catalog, context.schema, known.template)
        values[BASE_FEATURE_COUNT:DENSE_COUNT] = history
        values[DENSE_COUNT + known.terms.columns] = known.terms.weights
        return ServedRow(values, known.status, known.template)
