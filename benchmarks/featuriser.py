"""Featuriser: texts per second of one core against the parser alone, one text's time, and a stream that repeats itself.

The texts are people's queries, not shipped: FEATURISER_QUERIES names a file of JSON lines with `sql` and `source`. Both sides
read the same texts in turns in one process, the collector of cycles as Python sets it, each with placeholders replaced. Times
are of the processor, so that a busy machine slows both and stops neither.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.measure import BenchmarkError, Sample, median_rate, rate_ratio, take_turns
from benchmarks.table import Line

VARIABLE = "FEATURISER_QUERIES"
RUNS, ROUNDS = 9, 3
RATE, WITHIN, P99_MS, CACHED_RATE = 1_200, 1.3, 5.0, 20_000
# 39 of 40 queries have a text that was sent before; the cache is empty at first, so that every text is featurised once in it.
STREAM, DIFFERENT = 40_000, 1_000


def run(folder: Path) -> list[Line]:
    """A line for the rate, one for the ratio to the bare parse, one for single texts, one for the cache."""
    from platform_assets.query_predictor.sql_features import ParseStatus, featurise

    texts = _texts()
    statuses = [featurise(text).status for text in texts]
    parsed = sum(status == ParseStatus.PARSED for status in statuses)
    ours, bare = take_turns(partial(_sample, featurise, texts), partial(_sample, _parse(), _replaced(texts)), runs=RUNS)
    rate, times = median_rate(ours), 1 / rate_ratio(ours, bare)
    p99 = _p99_ms(featurise, texts)
    stream = _stream(texts)
    return [
        Line(f"featuriser: {len(texts)} texts, {parsed} of them parsed", f"{rate:,.0f} texts/s", target=f">= {RATE:,}",
             met=rate >= RATE),
        Line("featuriser: time over the bare parse", f"{rate:,.0f} texts/s", f"{median_rate(bare):,.0f} texts/s",
             f"{times:.2f}x", target=f"<= {WITHIN}x", met=times <= WITHIN),
        Line("featuriser: 99th percentile of single texts", f"{p99:.1f} ms", target=f"<= {P99_MS} ms", met=p99 <= P99_MS),
        Line(f"featuriser: {STREAM:,} queries of {DIFFERENT:,} texts through the cache", f"{stream:,.0f} queries/s",
             target=f">= {CACHED_RATE:,}", met=stream >= CACHED_RATE),
    ]  # fmt: skip


def _texts() -> list[str]:
    """Texts of analysts where the file says who wrote them; the benchmarks' own queries (tpch, tpcds) are left out."""
    path = os.environ.get(VARIABLE)
    if not path:
        raise BenchmarkError(
            f"the featuriser's texts are not shipped: set {VARIABLE} to a file of JSON lines with `sql`"
        )
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [row["sql"] for row in rows if not str(row.get("source", "")).startswith("tpc")]


def _replaced(texts: Sequence[str]) -> list[str]:
    from platform_assets.query_predictor.sql_tokens import PARAMETER

    return [PARAMETER.sub("parameter", text) for text in texts]


def _parse() -> Callable[[str], object]:
    from sqlglot.dialects import Trino

    return Trino().parse


def _sample(work: Callable[[str], object], texts: Sequence[str]) -> Sample:
    began = time.process_time()
    for _ in range(ROUNDS):
        for text in texts:
            work(text)
    return Sample(time.process_time() - began, ROUNDS * len(texts))


def _p99_ms(work: Callable[[str], object], texts: Sequence[str]) -> float:
    """Of the texts' own times, each the best of its runs: what a text takes, not what interrupts it."""
    times = []
    for text in texts:
        runs = [_sample(work, [text]).seconds / ROUNDS for _ in range(RUNS)]
        times.append(min(runs))
    return sorted(times)[int(0.99 * len(times))] * 1e3


def _stream(texts: Sequence[str]) -> float:
    """Queries per second through the cache, different texts made of the given ones by a comment at their ends."""
    from platform_assets.query_predictor.context_features import Context
    from platform_assets.query_predictor.text_cache import TextCache

    chance, context = random.Random(0), Context(datetime(2026, 1, 5, 9, tzinfo=UTC), "hive", "sales")
    different = [f"{texts[number % len(texts)]}\n-- {number}" for number in range(DIFFERENT)]
    queries, cache = [chance.choice(different) for _ in range(STREAM)], TextCache()
    began = time.process_time()
    for text in queries:
        cache.base_features(text, context)
    return STREAM / (time.process_time() - began)
