"""Many texts: each text once, over several processes; and one text after another, remembered.

Logs repeat themselves, dashboards most of all, and a text's features depend on nothing but the text: they are kept under a
hash of it. What does not belong here is how a text is featurised (`sql_features`).
"""

from __future__ import annotations

import gc
import multiprocessing
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor.context_features import Context, context_features
from platform_assets.query_predictor.features import BASE_FEATURE_COUNT, SQL_NAMES
from platform_assets.query_predictor.sql_features import ParseStatus, SqlRow, featurise

# About 0.4 kB a text.
REMEMBERED = 100_000
_CHUNK = 200
# Fewer are done before other processes have started.
_WORTH_PROCESSES = 2_000


def text_hash(text: str) -> bytes:
    """16 bytes that stand for a text, the same in every process and release; unpaired surrogates are no error."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class TextCache:
    """Features of the texts seen last, by hash; safe for threads. `hits` and `misses` count what was asked."""

    def __init__(self, capacity: int = REMEMBERED) -> None:
        if capacity < 1:
            raise ValueError(f"a cache of {capacity} texts remembers nothing: give it a capacity of 1 or more")
        self.capacity, self.hits, self.misses = capacity, 0, 0
        self._rows: OrderedDict[bytes, SqlRow] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def sql_row(self, text: str) -> SqlRow:
        """What `featurise` says of a text; its values cannot be written to."""
        key = text_hash(text)
        with self._lock:
            row = self._rows.get(key)
            if row:
                self.hits += 1
                self._rows.move_to_end(key)
                return row
            self.misses += 1
        row = featurise(text)
        row.values.flags.writeable = False
        with self._lock:
            self._rows[key] = row
            if len(self._rows) > self.capacity:
                self._rows.popitem(last=False)
        return row

    def base_features(self, text: str, context: Context) -> NDArray[np.float32]:
        """Float32 [78] in the order of BASE_FEATURES: what a model is served."""
        values = np.empty(BASE_FEATURE_COUNT, np.float32)
        values[: len(SQL_NAMES)] = self.sql_row(text).values
        values[len(SQL_NAMES) :] = context_features(context)
        return values


def featurise_all(texts: Sequence[str], processes: int = 1) -> tuple[NDArray[np.float32], list[ParseStatus]]:
    """Float32 [texts, 70] in the order of SQL_NAMES, and how each was read; every different text is featurised once.

    The rows are those of `featurise`, bit for bit, whatever the number of processes.
    """
    places: dict[str, int] = {}
    row_of = [places.setdefault(text, len(places)) for text in texts]
    rows = list(_rows(list(places), processes))
    values = np.array([row.values for row in rows], np.float32).reshape(len(rows), len(SQL_NAMES))
    return values[row_of], [rows[place].status for place in row_of]


def _rows(texts: Sequence[str], processes: int) -> Iterable[SqlRow]:
    if processes == 1 or len(texts) < _WORTH_PROCESSES:
        return map(featurise, texts)
    # Not forked: this process may hold threads, and locks of theirs.
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=start, initializer=_leave_the_collector_little) as pool:
        return list(pool.map(featurise, texts, chunksize=_CHUNK))


def _leave_the_collector_little() -> None:
    """A process of featurising only makes no cycles but those of texts that are refused: it looks for them seldom."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
