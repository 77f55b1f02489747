"""The checks of a tensor cache: what each asks of the finished folder, and what it says.

They read what was written and not what the builder meant to write: every byte, the arrays' types and shapes, and their counts
against the published rows. Whether a basket knows too much is asked in cache_leaks.py, the sample index is checked in
samples.py; which of the checks block is said with the asset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model import samples, snapshot_recount
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.cache_leaks import SHOWN, no_leak
from platform_assets.world_model.splits import Split
from platform_assets.world_model.tensor_cache import TensorCache, TensorCacheError


def outcomes(engine: Engine, folder: Path, inputs: CacheInputs, split: Split) -> list[Outcome]:
    """Every check of a finished cache. Arrays that are not whole are not looked into."""
    found = [arrays_whole(folder)]
    if found[0].passed:
        cache = TensorCache(folder)
        indices = {name: cache.samples_path(name) for name in layout.SPLITS}
        return [
            *found,
            samples.one_split_per_basket(engine, indices),
            samples.samples_reconcile(engine, indices, inputs.baskets, split),
            counts_reconcile(cache, inputs.transactions),
            no_leak(cache, _recounted(engine, cache, inputs.baskets)),
        ]
    unread = ("one_split_per_basket", "samples_reconcile", "counts_reconcile", "no_leak")
    return [*found, *(Outcome(name, False, "not looked at: the arrays are not whole") for name in unread)]


def _recounted(engine: Engine, cache: TensorCache, baskets: Mapping[str, Path]) -> list[str]:
    snapshots = cache.table("customer_snapshots")
    files = [baskets[week] for week in cache.weeks]
    return snapshot_recount.recount(engine, files, snapshots, cache.customer_id_to_idx, cache.weeks).faults


def arrays_whole(folder: Path) -> Outcome:
    """Opened anew with every byte verified; every array has the layout's type and shape, and its indices lead somewhere."""
    try:
        cache = TensorCache(folder, verify=True)
        faults = [*_misshapen(cache), *_out_of_range(cache)]
    except (TensorCacheError, OSError, ValueError) as error:
        faults = [str(error)]
    files = len(faults) or len(cache.document["files"])
    reason = "; ".join(faults[:SHOWN]) if faults else f"{files} files, all as written and as the layout says"
    return Outcome("arrays_whole", not faults, reason, {"files": files})


def counts_reconcile(cache: TensorCache, transactions: Mapping[str, Path]) -> Outcome:
    """By week, and so by split: the items of the arrays are the rows of the transactions."""
    import pyarrow.parquet as pq

    rows = [pq.read_metadata(transactions[week]).num_rows for week in cache.weeks]
    items, documented = np.zeros(len(rows), np.int64), {}
    for name in layout.SPLITS:
        split, told = cache.split(name), cache.document["splits"][name]
        items += np.bincount(split.week, split.lengths, len(rows)).astype(np.int64)
        documented[name] = (told["baskets"], told["items"]) == (len(split), len(split.items))
    other = {
        week: f"{found} items of {expected} rows"
        for week, found, expected in zip(cache.weeks, items.tolist(), rows, strict=True)
        if found != expected
    }
    wrong = [name for name, right in documented.items() if not right]
    parts = [f"{len(other)} weeks differ: {dict(list(other.items())[:SHOWN])}" if other else ""]
    parts += [f"cache.json counts other baskets or items of {', '.join(wrong)}" if wrong else ""]
    reason = "; ".join(filter(None, parts)) or f"{sum(rows)} items of {sum(rows)} rows in {len(rows)} weeks"
    return Outcome("counts_reconcile", not other and not wrong, reason, {"items": int(items.sum()), "rows": sum(rows)})


def _misshapen(cache: TensorCache) -> Iterator[str]:
    document = cache.document
    sizes = {
        "P": document["tokens"], "C": document["customers"], "S": document["stores"], "W": len(cache.weeks),
        "K": layout.snapshots_of(len(cache.weeks)), "H": int(cache.table("customer_offsets")[-1]),
    }  # fmt: skip
    for name, kind in layout.TABLES.items():
        yield from _differs(layout.table_file(name), cache.table(name), kind, sizes)
    for split in layout.SPLITS:
        arrays, told = cache.split(split), document["splits"][split]
        sizes |= {"B": told["baskets"], "I": told["items"]}
        for name, kind in layout.SPLIT_ARRAYS.items():
            yield from _differs(layout.split_file(split, name), getattr(arrays, name), kind, sizes)


def _differs(name: str, array: NDArray[Any], kind: layout.Array, sizes: Mapping[str, int]) -> Iterator[str]:
    shape = kind.shape_of(sizes)
    if array.dtype != np.dtype(kind.dtype) or array.shape != shape:
        yield f"{name} is {array.dtype} {array.shape}, not {kind.dtype} {shape}"


def _out_of_range(cache: TensorCache) -> Iterator[str]:
    document, values = cache.document, cache.segment_values
    most = {
        "items": cache.tokens - 1, "customer": document["customers"], "store": document["stores"],
        "week": len(cache.weeks) - 1, "weekday": 7, "hour": 23,
        "labels": [len(classes) for classes in layout.LABELS.values()],
        "segments": [len(values[name]) for name in layout.SEGMENTS],
    }  # fmt: skip
    for split in layout.SPLITS:
        arrays = cache.split(split)
        ends = (int(arrays.offsets[0]), int(arrays.offsets[-1]))
        if ends != (0, len(arrays.items)) or (np.diff(arrays.offsets) < 1).any():
            yield f"{split}: offsets do not cut {len(arrays.items)} items into baskets of one or more"
        for name, limit in most.items():
            array = getattr(arrays, name)
            if len(array) and (array.max(0) > limit).any():
                yield f"{split}: {name} goes up to {array.max(0)}, and may go up to {limit}"
        if len(arrays.items) and arrays.items.min() < layout.UNK:
            yield f"{split}: an item is PAD"
