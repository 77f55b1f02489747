"""A day of queries, labelled: which are heavy and why, how far each is from a threshold, which are left out for which reason.

Kept rows stand in one file per label, all others in `dropped.parquet`. Template and category are told from each different text
once. What does not belong here: sampling (`sampling`), and what a category is worth (`zero_cost`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.engine import Engine, Parameter
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor import categories, sql_tokens, templates
from platform_assets.query_predictor.documented_keys import DataLoading

SQL = Path(__file__).parent / "sql"
CODE_VERSION = transform.code_version(
    SQL / "labelled_queries.sql", *(Path(inspect.getfile(module)) for module in (categories, sql_tokens, templates))
)
DROP_REASONS = ("duplicate", "blank", "query_type", "curated", "censored")
"""In the order in which they apply: a row counts under the first."""
LIGHT, HEAVY, DROPPED = Path("is_heavy=false/rows.parquet"), Path("is_heavy=true/rows.parquet"), Path("dropped.parquet")
GIB = 2**30
_TEXTS = pa.schema([("textHash", pa.string()), ("template", pa.string()), ("category", pa.string())])
_BATCH_ROWS = 10_000
_BATCH_TEXTS = 5_000


@dataclass(frozen=True)
class LabelledDay:
    """Files and counts of one labelled day; every drop reason is counted, also with 0."""

    light: Path
    heavy: Path
    dropped: Path
    rows_read: int
    light_rows: int
    heavy_rows: int
    reasons: dict[str, int]
    heavy_reasons: dict[str, int]
    texts: int
    """Different texts."""


def label_day(engine: Engine, queries: Path, rules: DataLoading, folder: Path) -> LabelledDay:
    """Label the queries of one day into `folder`."""
    light, heavy, dropped = (folder / name for name in (LIGHT, HEAVY, DROPPED))
    for path in (light, heavy, dropped):
        path.parent.mkdir(parents=True, exist_ok=True)
    texts, judged = folder / "texts.parquet", folder / "judged_queries.parquet"
    different = _write_texts(queries, texts)
    engine.run(
        transform.load(SQL / "labelled_queries.sql"),
        {"queries": [queries], "texts": [texts]},
        {"judged_queries": judged, "light_queries": light, "heavy_queries": heavy, "dropped_queries": dropped},
        _parameters(rules),
    )
    counted = {
        row["drop_reason"]: row["rows"]
        for row in engine.rows("SELECT drop_reason, count(*) AS rows FROM dropped GROUP BY 1", {"dropped": [dropped]})
    }
    heavy_reasons = {
        row["heavy_reason"]: row["rows"]
        for row in engine.rows(
            "SELECT heavy_reason, count(*) AS rows FROM heavy GROUP BY 1 ORDER BY 1", {"heavy": [heavy]}
        )
    }
    for path in (texts, judged):
        path.unlink()
    read, lights, heavies = (pq.read_metadata(path).num_rows for path in (queries, light, heavy))
    reasons = {reason: counted.get(reason, 0) for reason in DROP_REASONS}
    return LabelledDay(light, heavy, dropped, read, lights, heavies, reasons, heavy_reasons, different)


def rows_reconcile(day: LabelledDay) -> Outcome:
    """Rows of queries = light + heavy + dropped, each for one reason."""
    dropped = sum(day.reasons.values())
    reason = (
        f"{day.rows_read} queries, {day.light_rows} light + {day.heavy_rows} heavy + {dropped} dropped ({day.reasons})"
    )
    passed = day.rows_read == day.light_rows + day.heavy_rows + dropped
    counts = {"queries": day.rows_read, "light": day.light_rows, "heavy": day.heavy_rows, **day.reasons}
    return Outcome("rows_reconcile", passed, reason, counts)


def _parameters(rules: DataLoading) -> dict[str, Parameter]:
    return {
        "cpu_threshold": float(rules.cpu_threshold_seconds),
        "memory_threshold": float(rules.memory_threshold_gb) * GIB,
        "heavy_errors": ",".join(rules.heavy_errors),
        "censored_errors": ",".join(rules.censored_errors),
        "dropped_query_types": ",".join(rules.dropped_query_types),
        "keep_null_query_types": rules.keep_null_query_types,
        # A pattern that matches everything is one too: whether there is one is said apart.
        "is_curated": rules.curated_pattern is not None,
        "curated_pattern": rules.curated_pattern or "",
    }


def _write_texts(queries: Path, target: Path) -> int:
    """Template and category of every different text; returns how many there are."""
    written = 0
    with pq.ParquetWriter(target, _TEXTS) as writer:
        rows: list[tuple[str, str, str]] = []
        for key, text in _different_texts(queries):
            read = sql_tokens.read(text)
            rows.append((key, templates.fingerprint(read), categories.category_of(text, read)))
            if len(rows) >= _BATCH_TEXTS:
                written += _write(writer, rows)
        written += _write(writer, rows)
    return written


def _write(writer: pq.ParquetWriter, rows: list[tuple[str, str, str]]) -> int:
    if not rows:
        return 0
    columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_TEXTS))
    count = len(rows)
    rows.clear()
    return count


def _different_texts(queries: Path) -> Iterator[tuple[str, str]]:
    """(hash, text) of each different text, at its first row; hashes are held, texts are not."""
    seen: set[bytes] = set()
    with pq.ParquetFile(queries) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=["textHash", "query"], use_threads=False):
            encoded = batch.column("textHash").dictionary_encode()
            new, keys = [], encoded.dictionary.to_pylist()
            for place, key in enumerate(keys):
                short = bytes.fromhex(key)
                if short not in seen:
                    seen.add(short)
                    new.append(place)
            if new:
                yield from _firsts(batch.column("query"), encoded.indices, keys, new)


def _firsts(texts: pa.Array, indices: pa.Array, keys: list[str], new: list[int]) -> Iterator[tuple[str, str]]:
    import numpy as np

    places, firsts = np.unique(indices.to_numpy(), return_index=True)
    first_of = dict(zip(places.tolist(), firsts.tolist(), strict=True))
    for place in new:
        yield keys[place], texts[first_of[place]].as_py()
