"""What a text alone tells, by one tokenisation and one parse: features, words, template and category.

Serving reads it through `text_cache`, the training set through `featurise_all`: both call the one function here. What does not
belong here: what each part says (`sql_features`, `text_terms`, `templates`, `categories`), and what is remembered of it.
"""

from __future__ import annotations

import gc
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import categories, sql_features, sql_tokens, templates, text_terms
from platform_assets.query_predictor.sql_features import ParseStatus

_CHUNK = 200
# Fewer are done before other processes have started.
_WORTH_PROCESSES = 2_000


class TextRow(NamedTuple):
    """Everything that depends on nothing but the text."""

    values: NDArray[np.float32]  # [70] in the order of SQL_NAMES
    status: ParseStatus
    words: list[str]
    template: str
    category: str


def text_row(text: str) -> TextRow:
    """The row of a text. Never raises for what a text holds."""
    read = sql_tokens.read(text)
    words = text_terms.words(read)
    values, status = sql_features.featurise_tokens(text, read)
    return TextRow(values, status, words, templates.fingerprint(read, words), categories.category_of(text, read))


def featurise_all(texts: Sequence[str], processes: int = 1) -> Iterator[TextRow]:
    """The row of each text, in their order; the same, bit for bit, whatever the number of processes.

    Texts that repeat themselves are read again: whoever has many of those holds them apart first.
    """
    if processes == 1 or len(texts) < _WORTH_PROCESSES:
        yield from map(_paused, texts)
        return
    # Not forked: this process may hold threads, and locks of theirs.
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=start, initializer=_leave_the_collector_little) as pool:
        yield from pool.map(_sent, texts, chunksize=_CHUNK)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Holds off the collector of cycles while a text is read: it would look through tokens and tree several times, none of which
    is garbage yet, and all of which is gone at the end without it (up to a fifth of the time). For a process that does nothing else:
    a server's collector belongs to all of its threads.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _paused(text: str) -> TextRow:
    with collector_paused():
        return text_row(text)


def _sent(text: str) -> TextRow:
    """A row with each word once: texts share their words, and what is the same object goes to the other process once a chunk."""
    row = text_row(text)
    return row._replace(words=list(map(sys.intern, row.words)))


def _leave_the_collector_little() -> None:
    """A process of featurising only makes no cycles but those of texts that are refused: it looks for them seldom."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
