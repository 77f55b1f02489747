"""A week's sample as arrays: 78 base and 17 historical features and the terms of each row, and the history that serving starts from.

Base features and terms are made once a text (`feature_texts`), history is summed up for the rows that ask (`history`), and the
files are written row by row into memory maps: no split is ever whole in memory. A row sees the history that serving would have
held on the day it was created; the snapshot stored beside is that of the day after the week. A template is seen when the train
split has a row of it. What does not belong here: whether the rows are those that serving makes (`parity`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.query_predictor import (
    context_features,
    feature_texts,
    features,
    features_document,
    history,
    history_values,
    sql_counts,
    sql_features,
    sql_periods,
    sql_tokens,
    sql_tree,
    text_rows,
    text_terms,
)
from platform_assets.query_predictor.context_features import Context
from platform_assets.query_predictor.feature_texts import TextStore, TextTable, by_status
from platform_assets.query_predictor.features import BASE_FEATURE_COUNT, HISTORICAL_FEATURE_COUNT, SQL_NAMES
from platform_assets.query_predictor.history import HistoryOptions
from platform_assets.query_predictor.sql_features import ParseStatus

_MODULES = (
    context_features, feature_texts, features, features_document, history, sql_counts, sql_features, sql_periods,
    sql_tokens, sql_tree, text_rows, text_terms,
)  # fmt: skip
CODE_VERSION = "-".join(
    (
        transform.code_version(Path(__file__), *(Path(inspect.getfile(module)) for module in _MODULES)),
        history.CODE_VERSION,
    )
)
SPLITS = ("train", "validation", "test")
HISTORY = "history"
DENSE_COUNT = BASE_FEATURE_COUNT + HISTORICAL_FEATURE_COUNT
VOCABULARY = 1_000
_BATCH = 16_384
_ASKED = pa.schema(
    [("row", pa.int64()), *((name, pa.string()) for name in ("user", "catalog", "schema", "template")), ("day", pa.int64())]
)  # fmt: skip
_ROWS = pa.schema(
    [
        ("queryId", pa.string()), ("is_heavy", pa.bool_()), ("weight", pa.float64()), ("template", pa.string()),
        ("category", pa.string()), ("createTime", pa.timestamp("us", tz="UTC")), ("parse_status", pa.string()),
        ("seen_template", pa.bool_()),
    ]
)  # fmt: skip
_STATUS_NAMES = np.array([status.name.lower() for status in ParseStatus], object)


@dataclass(frozen=True)
class BuiltFeatures:
    """What was written to `folder`, and counts: rows and texts by the way they were read, the vocabulary, keys of history."""

    folder: Path
    report: dict[str, Any]


def build(
    engine: Engine,
    week: date,
    sample: Path,
    labelled: Sequence[Path],
    folder: Path,
    vocabulary: int = VOCABULARY,
    options: HistoryOptions | None = None,
    processes: int = 1,
) -> BuiltFeatures:
    """Write the features of the week that begins on the Monday `week` into `folder`.

    `sample` holds {train,validation,test}.parquet; `labelled` are the kept rows of every labelled day that history may reach back
    to, the week's own included. `processes` featurise texts; the files are the same for any number.
    """
    options = options or HistoryOptions()
    folder.mkdir(parents=True, exist_ok=True)
    engine.scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="features-", dir=engine.scratch) as name:
        work = Path(name)
        texts, text_of = _texts(sample, work, folder, vocabulary, processes)
        days = history.gather(engine, labelled, options, work / "history_days.parquet")
        history.write_snapshot(engine, days, week + timedelta(days=7), options, folder / HISTORY)
        train_templates = pq.read_table(sample / "train.parquet", columns=["template"])["template"].unique()
        for split in SPLITS:
            sums = history.write_asked(engine, work / f"{split}_asked.parquet", days, options, work / "sums.parquet")
            _write_numbers(sample / f"{split}.parquet", sums, texts, text_of[split], options, folder / f"{split}.npy")
            _write_terms(texts, text_of[split], folder, split)
            _write_rows(sample / f"{split}.parquet", texts, text_of[split], train_templates, folder, split)
        features_document.write(folder, week)
        report = _report(folder, texts, text_of)
    return BuiltFeatures(folder, report)


def _texts(
    sample: Path, work: Path, folder: Path, vocabulary: int, processes: int
) -> tuple[TextTable, dict[str, NDArray[np.int32]]]:
    """The texts, and each row's; on the way what each row asks of history is written."""
    store, text_of = TextStore(work, vocabulary, processes), {}
    for split in SPLITS:
        parts = [np.empty(0, np.int32)]
        with pq.ParquetWriter(work / f"{split}_asked.parquet", _ASKED) as writer:
            columns = ["query", "textHash", "user", "catalog", "schema", "template", "createTime"]
            for start, batch in _batches(sample / f"{split}.parquet", columns):
                parts.append(store.numbers(batch["textHash"].to_pylist(), batch["query"]))
                writer.write_batch(_asked(start, batch))
        text_of[split] = np.concatenate(parts)
        if split == "train":
            terms = store.end_of_train()
            (folder / text_terms.NAME).write_text(terms.to_json(), encoding="utf-8")
    return store.table(), text_of


def _asked(start: int, batch: pa.RecordBatch) -> pa.RecordBatch:
    days = batch["createTime"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False).cast(pa.int32()).cast(pa.int64())
    names = [pc.fill_null(batch[name], "") for name in ("user", "catalog", "schema", "template")]
    rows = pa.array(np.arange(start, start + batch.num_rows), pa.int64())
    return pa.RecordBatch.from_arrays([rows, *names, days], schema=_ASKED)


def _batches(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of a file, each with the number of its first row."""
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH, columns=list(columns), use_threads=False):
            yield start, batch
            start += batch.num_rows


def _write_numbers(
    rows: Path, sums: Path, texts: TextTable, text_of: NDArray[np.int32], options: HistoryOptions, target: Path
) -> None:
    values = open_memmap(target, "w+", np.float32, (len(text_of), DENSE_COUNT))
    for start, batch in _batches(rows, ["createTime", "catalog", "schema", "clientInfo"]):
        stop = start + batch.num_rows
        values[start:stop, : len(SQL_NAMES)] = texts.values[text_of[start:stop]]
        values[start:stop, len(SQL_NAMES) : BASE_FEATURE_COUNT] = _contexts(batch)
    written = 0
    with pq.ParquetFile(sums) as file:
        for batch in file.iter_batches(_BATCH, use_threads=False):
            found = history_values.from_table(pa.table(batch), options.strength)
            values[batch["row"].to_numpy(), BASE_FEATURE_COUNT:] = found
            written += batch.num_rows
    values.flush()
    if written != len(text_of):
        raise RuntimeError(f"{target.name}: {len(text_of)} rows asked for their history and {written} were answered")


def _contexts(batch: pa.RecordBatch) -> NDArray[np.float32]:
    columns = (batch[name].to_pylist() for name in ("createTime", "catalog", "schema", "clientInfo"))
    # The same function as in serving, row by row: sines of arrays may differ from it in the last bit.
    return np.array([context_features.context_features(Context(*row)) for row in zip(*columns, strict=True)])


def _write_terms(texts: TextTable, text_of: NDArray[np.int32], folder: Path, split: str) -> None:
    lengths = np.diff(texts.indptr)[text_of]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    np.save(folder / f"{split}_tfidf_indptr.npy", indptr)
    data = open_memmap(folder / f"{split}_tfidf_data.npy", "w+", np.float32, (int(indptr[-1]),))
    indices = open_memmap(folder / f"{split}_tfidf_indices.npy", "w+", np.int32, (int(indptr[-1]),))
    for start in range(0, len(text_of), _BATCH):
        stop = min(start + _BATCH, len(text_of))
        begins = texts.indptr[text_of[start:stop]]
        places = np.arange(indptr[start], indptr[stop]) + np.repeat(begins - indptr[start:stop], lengths[start:stop])
        data[indptr[start] : indptr[stop]] = texts.weights[places]
        indices[indptr[start] : indptr[stop]] = texts.columns[places]
    data.flush()
    indices.flush()


def _write_rows(
    rows: Path, texts: TextTable, text_of: NDArray[np.int32], seen: pa.Array, folder: Path, split: str
) -> None:
    told, is_seen = _ROWS.names[:-2], pc.SetLookupOptions(value_set=seen)
    with pq.ParquetWriter(folder / f"{split}_rows.parquet", _ROWS) as writer:
        for start, batch in _batches(rows, told):
            statuses = _STATUS_NAMES[texts.statuses[text_of[start : start + batch.num_rows]]]
            kinds = zip(told, _ROWS.types, strict=False)
            columns = [batch[name].cast(kind) for name, kind in kinds]
            columns += [pa.array(statuses, pa.string()), pc.call_function("is_in", [batch["template"]], is_seen)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_ROWS))


def _report(folder: Path, texts: TextTable, text_of: dict[str, NDArray[np.int32]]) -> dict[str, Any]:
    snapshot = history.read_report(folder / HISTORY)
    terms = text_terms.TermWeights.from_json((folder / text_terms.NAME).read_text(encoding="utf-8"))
    rows = {split: by_status(texts.statuses[places]) for split, places in text_of.items()}
    return {
        "texts": by_status(texts.statuses), "rows": rows, "terms": len(terms), "history_keys": snapshot["keys"],
        "history_queries": snapshot["all"]["queries"], "history_as_of": snapshot["as_of"],
    }  # fmt: skip
