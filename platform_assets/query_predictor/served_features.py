"""A query as the model sees it, when it is served: base, historical and term features in one row.

The text's part is kept under a hash of the text, as most queries were asked before; context and history are looked up anew. A
text is tokenised once for its features, its template and its terms. Training's rows are checked against this (`parity`). What
does not belong here: what follows from the row (`served_model`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import sql_features, sql_tokens, templates, text_terms
from platform_assets.query_predictor.context_features import Context, context_features
from platform_assets.query_predictor.features import (
    BASE_FEATURE_COUNT,
    HISTORICAL_FEATURE_COUNT,
    SQL_NAMES,
)
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.sql_features import ParseStatus, SqlRow
from platform_assets.query_predictor.text_cache import REMEMBERED, text_hash
from platform_assets.query_predictor.text_terms import TermRow, TermWeights

DENSE_COUNT = BASE_FEATURE_COUNT + HISTORICAL_FEATURE_COUNT


class TextPart(NamedTuple):
    """What of a row depends on the text alone."""

    sql: SqlRow
    template: str
    terms: TermRow


class ServedRow(NamedTuple):
    """Float32 [95 + terms], missing is NaN; how the text was read; and its template."""

    values: NDArray[np.float32]
    status: ParseStatus
    template: str


class ServedFeatures:
    """Rows by one snapshot and one vocabulary; safe for threads. `hits` and `misses` count texts."""

    def __init__(self, snapshot: HistorySnapshot, terms: TermWeights, capacity: int = REMEMBERED) -> None:
        if capacity < 1:
            raise ValueError(f"a cache of {capacity} texts remembers nothing: give it a capacity of 1 or more")
        self.snapshot, self.terms, self.capacity = snapshot, terms, capacity
        self.hits = self.misses = 0
        self._texts: OrderedDict[bytes, TextPart] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, text: str, user: str, context: Context) -> ServedRow:
        """The row of a query. Never raises for what a text holds; ValueError for a creation time without a time zone."""
        part = self.text_part(text)
        values = np.zeros(DENSE_COUNT + len(self.terms), np.float32)
        values[: len(SQL_NAMES)] = part.sql.values
        values[len(SQL_NAMES) : BASE_FEATURE_COUNT] = context_features(context)
        history = self.snapshot.features(user, context.catalog, context.schema, part.template)
        values[BASE_FEATURE_COUNT:DENSE_COUNT] = history
        values[DENSE_COUNT + part.terms.columns] = part.terms.weights
        return ServedRow(values, part.sql.status, part.template)

    def text_part(self, text: str) -> TextPart:
        """What the text alone tells, remembered."""
        key = text_hash(text)
        with self._lock:
            part = self._texts.get(key)
            if part:
                self.hits += 1
                self._texts.move_to_end(key)
                return part
            self.misses += 1
        with sql_features.collector_paused():
            part = self._made(text)
        with self._lock:
            self._texts[key] = part
            if len(self._texts) > self.capacity:
                self._texts.popitem(last=False)
        return part

    def _made(self, text: str) -> TextPart:
        read = sql_tokens.read(text)
        terms, template = self.terms.row(text_terms.words(read)), templates.fingerprint(read)
        return TextPart(sql_features.featurise_tokens(text, read), template, terms)
