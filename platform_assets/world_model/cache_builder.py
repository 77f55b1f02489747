"""Builds a tensor cache out of published files: the weekly transactions and baskets, and the features of the same weeks.

Week by week, and memory-mapped: what is in memory does not grow with the weeks, but for one number a basket. The same inputs
and the same seed give the same bytes on any number of threads; the sample index is therefore written anew here, as DuckDB's
Parquet files hang on its threads. What may be published, and where, does not belong here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.world_model import cache_arrays, cache_files, cache_inputs, cache_items, samples
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_files import Document, SplitCounts, Vocabulary
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.splits import Split

if TYPE_CHECKING:
    import pyarrow as pa

CODE_VERSION = transform.code_version(
    *(Path(__file__).parent / f"{name}.py" for name in (
        "cache_arrays", "cache_builder", "cache_files", "cache_inputs", "cache_items", "ragged", "samples", "tensor_layout"
    )),
    samples.SQL / "samples.sql",
)  # fmt: skip
ROW_GROUP_ROWS = 200_000


def build_cache(engine: Engine, inputs: CacheInputs, split: Split, folder: Path, scratch: Path, seed: int = 0) -> Path:
    """Build the cache of a split into an empty `folder` and return it; a folder in `scratch` holds the weeks meanwhile.

    Raises CacheInputError when inputs do not belong together, ValueError when a week of the split has no file.
    """
    for each in (folder, scratch):
        each.mkdir(parents=True, exist_ok=True)
    vocabulary = cache_inputs.read_vocabulary(inputs)
    with TemporaryDirectory(prefix="weeks-", dir=scratch) as name:
        work = Path(name)
        index = _build_samples(engine, inputs, split, folder, work)
        weeks, purchases, held = _read_weeks(inputs, split, vocabulary, work, seed)
        cache_inputs.write_tables(inputs, vocabulary, split.weeks, folder)
        cache_files.save(folder, layout.table_file("weekly_baskets"), held, layout.TABLES["weekly_baskets"])
        counts = _write_splits(folder, split, weeks, index, vocabulary, cache_arrays.Purchases(folder, purchases), seed)
    return cache_files.write_documents(folder, Document(split.weeks, vocabulary, counts, seed))


def _read_weeks(
    inputs: CacheInputs, split: Split, vocabulary: Vocabulary, scratch: Path, seed: int
) -> tuple[dict[str, Path], NDArray[np.int64], NDArray[np.int64]]:
    """Every week's items in a folder of its own, [C+1] purchases of each customer, [W, P] baskets that hold each token."""
    folders, counts = {}, np.zeros(len(vocabulary.customers) + 1, np.int64)
    held = np.zeros((len(split.weeks), vocabulary.tokens), np.int64)
    first_day = date.fromisoformat(split.weeks[0])
    for number, week in enumerate(split.weeks):
        files = inputs.transactions[week], inputs.baskets[week]
        found = cache_items.read_week(week, *files, vocabulary, first_day, (seed, number))
        folders[week] = scratch / week
        found.save(folders[week])
        counts += np.bincount(found.customer, cache_arrays.known_purchases(found), len(counts)).astype(np.int64)
        held[number] = np.bincount(found.tokens, minlength=vocabulary.tokens)
        # Several rows of a basket may be UNK: of that, only products count baskets.
        held[number, : layout.FIRST_PRODUCT] = 0
    return folders, counts, held


def _write_splits(
    folder: Path, split: Split, weeks: Mapping[str, Path], index: Mapping[str, Path], vocabulary: Vocabulary,
    purchases: cache_arrays.Purchases, seed: int,
) -> dict[str, SplitCounts]:  # fmt: skip
    counts, first_day = {}, date.fromisoformat(split.weeks[0])
    # Oldest first: a later split's customers go on where the earlier one's ended.
    for name, keys in zip(layout.SPLITS, (split.train, split.validation, split.test), strict=True):
        (folder / name).mkdir()
        folders = [weeks[key] for key in keys]
        rows = cache_arrays.draw_rows(seed, name, cache_arrays.require_same_order(name, index[name], folders))
        found = cache_arrays.write_items(folder, name, folders, rows, purchases)
        told = cache_arrays.write_columns(folder, name, index[name], rows, vocabulary, first_day)
        counts[name] = replace(found, weeks=len(keys), first_week=keys[0], last_week=keys[-1], **told)
    purchases.close()
    return counts


def _build_samples(engine: Engine, inputs: CacheInputs, split: Split, folder: Path, scratch: Path) -> dict[str, Path]:
    found = samples.build_samples(engine, inputs.baskets, split, scratch)
    written = {}
    for part, path in found.items():
        written[part] = folder / layout.samples_file(part)
        rewrite(path, written[part])
        path.unlink()
    (scratch / "samples.parquet").unlink()
    return written


def rewrite(source: Path, target: Path) -> None:
    """The same rows in the same order, in bytes that hang on nothing else."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow.remove_metadata()
        with pq.ParquetWriter(target, schema, compression="zstd", compression_level=1) as writer:
            for table in _regrouped(file):
                writer.write_table(table.cast(schema), row_group_size=ROW_GROUP_ROWS)


def _regrouped(file: object) -> Iterator[pa.Table]:
    """Tables of ROW_GROUP_ROWS rows in one piece each, the last one shorter: batches of a file end where its row groups do."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    for batch in file.iter_batches(ROW_GROUP_ROWS):  # pyright: ignore[reportAttributeAccessIssue] - a ParquetFile
        held.append(batch)
        while sum(map(len, held)) >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(held)
            yield table.slice(0, ROW_GROUP_ROWS).combine_chunks()
            held = table.slice(ROW_GROUP_ROWS).to_batches()
    if held:
        yield pa.Table.from_batches(held).combine_chunks()
