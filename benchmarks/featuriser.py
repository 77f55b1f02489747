"""Featuriser: texts per second of one core against the parser alone, one query's time, and a stream that repeats itself.

The targets are for people's own queries of some 3,000 characters, which are not shipped: FEATURISER_QUERIES names a file of JSON
lines with `sql` and `source`; FEATURISER_MODEL a trained model's folder, whose router then answers the texts one by one, each for
the first time. Without the former the texts are those of the recorded log that the simulator ships, which are shorter, and
the lines say so. Both sides read the same texts in turns in one process, the collector of cycles as Python sets it, each with
placeholders replaced. Times are of the processor, so that a busy machine slows both and stops neither. A parsed tree is garbage
that only the collector finds; the featuriser takes its trees apart, and where nothing else runs in the process, as in training,
holds the collector off while it reads a text. Both are therefore timed twice: with the collector, and without (the parser's trees
are left lying then).

Two streams go through the cache: an artificial one in which 39 of 40 queries repeat a text, and the shipped log as it came.
"""

from __future__ import annotations

import gc
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

VARIABLE, MODEL_VARIABLE = "FEATURISER_QUERIES", "FEATURISER_MODEL"
RUNS, ROUNDS = 9, 3
RATE, WITHIN, P99_MS, CACHED_RATE = 1_200, 1.3, 10.0, 20_000
# 39 of 40 queries have a text that was sent before; the cache is empty at first, so that every text is featurised once in it.
STREAM, DIFFERENT = 40_000, 1_000
SHIPPED_TEXTS = 1_000


def run(folder: Path) -> list[Line]:
    """A line for the rate, two for the ratio to the bare parse, one for all that a text tells, one for single ones, one a stream."""
    from platform_assets.query_predictor.sql_features import ParseStatus, featurise
    from platform_assets.query_predictor.text_rows import collector_paused, text_row

    def held_off(work: Callable[[str], object], text: str) -> object:
        with collector_paused():
            return work(text)

    whose, texts = _texts()
    statuses = [featurise(text).status for text in texts]
    parsed = sum(status == ParseStatus.PARSED for status in statuses)
    parse = partial(_sample, _parse(), _replaced(texts))
    ours, bare, paused, littered, whole = take_turns(
        partial(_sample, featurise, texts),
        parse,
        partial(_sample, partial(held_off, featurise), texts),
        partial(_left_lying, parse),
        partial(_sample, partial(held_off, text_row), texts),
        runs=RUNS,
    )
    times, times_paused = 1 / rate_ratio(ours, bare), 1 / rate_ratio(paused, littered)
    rate, (what, p99) = median_rate(paused), _single(texts)
    stream, logged = _repeated(texts), _logged()
    repeats, repeated, came = 1 - DIFFERENT / STREAM, _through_cache(stream), _through_cache(logged)
    return [
        Line(f"featuriser: {len(texts)} texts of {whose}, {_mean_length(texts):,.0f} characters each, {parsed} of them parsed",
             f"{rate:,.0f} texts/s", target=f">= {RATE:,}", met=rate >= RATE),
        Line("featuriser: time over the bare parse, the collector as Python sets it", f"{median_rate(ours):,.0f} texts/s",
             f"{median_rate(bare):,.0f} texts/s", f"{times:.2f}x", target=f"<= {WITHIN}x", met=times <= WITHIN),
        Line("featuriser: time over the bare parse, without the collector", f"{rate:,.0f} texts/s",
             f"{median_rate(littered):,.0f} texts/s", f"{times_paused:.2f}x"),
        Line("featuriser: with words, template and category, which the features of a row need as well",
             f"{median_rate(whole):,.0f} texts/s"),
        Line(f"featuriser: 99th percentile of {what}", f"{p99:.1f} ms", target=f"<= {P99_MS} ms", met=p99 <= P99_MS),
        Line(f"featuriser: {STREAM:,} queries of {DIFFERENT:,} texts ({repeats:.1%} repeats) through the cache",
             f"{repeated:,.0f} queries/s", target=f">= {CACHED_RATE:,}", met=repeated >= CACHED_RATE),
        Line(f"featuriser: the {len(logged):,} queries of the shipped log ({1 - len(set(logged)) / len(logged):.1%} repeats, "
             f"{_mean_length(logged):,.0f} characters) through the cache", f"{came:,.0f} queries/s"),
    ]  # fmt: skip


def _texts() -> tuple[str, list[str]]:
    """Whose texts, and the texts: those of FEATURISER_QUERIES, or the different ones of the shipped log."""
    path = os.environ.get(VARIABLE)
    if path:
        return "analysts", _analysts_texts(Path(path))
    return "the shipped log", _shipped_texts()


def _analysts_texts(path: Path) -> list[str]:
    """Texts of analysts where the file says who wrote them; the benchmarks' own queries (tpch, tpcds) are left out."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts = [row["sql"] for row in rows if not str(row.get("source", "")).startswith("tpc")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f"{VARIABLE} names {path}, which is no file of JSON lines with `sql` ({error!r}): name another"
        ) from None
    if not texts:
        raise BenchmarkError(f"{VARIABLE} names {path}, which holds no analyst's query: name another")
    return texts


def _shipped_texts() -> list[str]:
    """A seeded draw, as many as take about as long as the analysts' do."""
    texts = sorted(set(_logged()))
    return random.Random(0).sample(texts, min(SHIPPED_TEXTS, len(texts)))


def _logged() -> list[str]:
    """The texts of the shipped log, as they came: a query_id begins with the time."""
    import pyarrow.parquet as pq

    from platform_assets.simulators.trino_cluster import SAMPLE

    path = SAMPLE / "queries.parquet"
    if not path.is_file():
        raise BenchmarkError(
            f"{path} is not there: install the package whole, or set {VARIABLE} to a file of JSON lines with `sql`"
        )
    return pq.ParquetFile(path).read(columns=["query_id", "query"]).sort_by("query_id")["query"].to_pylist()


def _mean_length(texts: Sequence[str]) -> float:
    return sum(map(len, texts)) / len(texts)


def _replaced(texts: Sequence[str]) -> list[str]:
    from platform_assets.query_predictor.sql_tokens import PARAMETER

    return [PARAMETER.sub("parameter", text) for text in texts]


def _parse() -> Callable[[str], object]:
    from sqlglot.dialects import Trino
    from sqlglot.errors import SqlglotError

    dialect = Trino()

    def parse(text: str) -> object:
        try:
            return dialect.parse(text)
        except SqlglotError:
            # The shipped log has people's mistakes in it; the featuriser reads them as well.
            return None

    return parse


def _sample(work: Callable[[str], object], texts: Sequence[str]) -> Sample:
    began = time.process_time()
    for _ in range(ROUNDS):
        for text in texts:
            work(text)
    return Sample(time.process_time() - began, ROUNDS * len(texts))


def _left_lying(work: Callable[[], Sample]) -> Sample:
    """The same without the collector of cycles: a parsed tree is one, and to take it away is no part of parsing."""
    gc.disable()
    try:
        return work()
    finally:
        gc.enable()
        gc.collect()


def _single(texts: Sequence[str]) -> tuple[str, float]:
    """What is timed, and the 99th percentile of all calls in milliseconds: every text is new to the cache in every one of them."""
    whose, work = _router() if os.environ.get(MODEL_VARIABLE) else _featuriser()
    work(texts[0])
    times = [_seconds(work, f"{text}\n-- call {number}") for number in range(RUNS) for text in texts]
    return whose, sorted(times)[int(0.99 * len(times))] * 1e3


def _seconds(work: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    work(text)
    return time.process_time() - began


def _featuriser() -> tuple[str, Callable[[str], object]]:
    from platform_assets.query_predictor.text_rows import text_row

    return "single texts, no model asked", text_row


def _router() -> tuple[str, Callable[[str], object]]:
    from platform_assets.query_predictor.router import AskedQuery, Router

    folder, now = Path(os.environ[MODEL_VARIABLE]), datetime.now(UTC)
    router = Router.open(folder)
    return "single queries, features and model", lambda text: router.route(
        [AskedQuery(text, now, "ann", "hive", "sales")]
    )


def _repeated(texts: Sequence[str]) -> list[str]:
    """A stream of different texts, made of the given ones by a comment at their ends."""
    chance = random.Random(0)
    different = [f"{texts[number % len(texts)]}\n-- {number}" for number in range(DIFFERENT)]
    return [chance.choice(different) for _ in range(STREAM)]


def _through_cache(queries: Sequence[str]) -> float:
    """Queries per second through a cache that is empty at first."""
    from platform_assets.query_predictor.context_features import Context
    from platform_assets.query_predictor.text_cache import TextCache

    context, cache = Context(datetime(2026, 1, 5, 9, tzinfo=UTC), "hive", "sales"), TextCache()
    began = time.process_time()
    for text in queries:
        cache.base_features(text, context)
    return len(queries) / (time.process_time() - began)
