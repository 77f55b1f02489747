"""What texts tell, one text after another, remembered.

Logs repeat themselves, dashboards most of all, and a text's row depends on nothing but the text: it is kept under a hash of it.
What does not belong here is how a row is made (`text_rows`), and what depends on who asks and when (`served_features`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor.context_features import Context, context_features
from platform_assets.query_predictor.features import BASE_FEATURE_COUNT, SQL_NAMES
from platform_assets.query_predictor.sql_features import ParseStatus
from platform_assets.query_predictor.text_hash import text_hash
from platform_assets.query_predictor.text_rows import text_row
from platform_assets.query_predictor.text_terms import TermRow, TermWeights

# 1 to 2 kB a text.
REMEMBERED = 100_000
_NO_TERMS = TermWeights((), ())


class KnownText(NamedTuple):
    """A `TextRow` by one vocabulary: its words are weighed, and let go of, as they are longer than all the rest."""

    values: NDArray[np.float32]
    status: ParseStatus
    template: str
    category: str
    terms: TermRow


class TextCache:
    """The texts seen last, by hash; safe for threads. `hits` and `misses` count what was asked."""

    def __init__(self, capacity: int = REMEMBERED, terms: TermWeights = _NO_TERMS) -> None:
        if capacity < 1:
            raise ValueError(f"a cache of {capacity} texts remembers nothing: give it a capacity of 1 or more")
        self.capacity, self.terms = capacity, terms
        self.hits = self.misses = 0
        self._texts: OrderedDict[bytes, KnownText] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._texts)

    def known(self, text: str) -> KnownText:
        """What `text_row` says of a text; its values cannot be written to."""
        key = text_hash(text)
        with self._lock:
            found = self._texts.get(key)
            if found:
                self.hits += 1
                self._texts.move_to_end(key)
                return found
            self.misses += 1
        found = self._read(text)
        with self._lock:
            self._texts[key] = found
            if len(self._texts) > self.capacity:
                self._texts.popitem(last=False)
        return found

    def base_features(self, text: str, context: Context) -> NDArray[np.float32]:
        """Float32 [78] in the order of BASE_FEATURES: what a model is served."""
        values = np.empty(BASE_FEATURE_COUNT, np.float32)
        values[: len(SQL_NAMES)] = self.known(text).values
        values[len(SQL_NAMES) :] = context_features(context)
        return values

    def _read(self, text: str) -> KnownText:
        row = text_row(text)
        row.values.flags.writeable = False
        return KnownText(row.values, row.status, row.template, row.category, self.terms.row(row.words))
