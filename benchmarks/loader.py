"""Loader: the world model's batches from a tensor cache, against a dataset that makes its tensors item by item.

The peer is what one writes first: a torch Dataset whose `__getitem__` reads one basket of the same memory-mapped arrays, masks
it and computes T1 to T6 in numpy, and a DataLoader that pads and stacks them in its own process. It gets the very batches that
ours cuts, so that it pads as little, and its tensors must equal ours where nothing is hidden. Both compute on one thread; ours
has its one prefetching thread beside it. Wall seconds mean something on an idle machine only: seconds of the processor of all
threads stand beside them. The large cache has as many baskets as the whole published data; memory is what a process has beyond
that after its imports, in pages that no file stands behind.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.loader_cache import write_cache
from benchmarks.loader_peer import peer_loader
from benchmarks.measure import BenchmarkError, Sample, in_own_process, median_rate, take_turns
from benchmarks.table import Line

BASKETS, CUSTOMERS = 1_000_000, 20_000
LARGE_BASKETS, LARGE_CUSTOMERS = 47_000_000, 100_000
BATCH_SIZE, LONGEST = 64, 50
RUNS = 3
# The peer takes milliseconds a batch: a sample of an epoch's batches, evenly spread, is enough.
PEER_BATCHES = 300
WINDOWS = 3
# Edges of the length buckets that the documented loader has.
DOCUMENTED_EDGES = (10, 20, 35, 50)
INDEX_RATE, MEAN_MS, FULL_MS, WASTE, OPEN_SECONDS, MEMORY_MB = 1_000_000, 0.4, 3.0, 0.01, 1.0, 200


def run(folder: Path) -> list[Line]:
    """Indices, tensors, a full batch, padding, opening, memory."""
    small = write_cache(folder / "small", BASKETS, CUSTOMERS)
    large = write_cache(folder / "large", LARGE_BASKETS, LARGE_CUSTOMERS)
    _require_equal(small)
    return [_rate(small), *_tensors(small), _padding(small), _opening(large), _memory(large)]


def _rate(cache: Path) -> Line:
    ours, peers, processor = _turns(cache, (indices, peer_indices))
    rate, spent = median_rate(ours), 1 / median(processor[0])
    return Line(
        f"loader: indices alone, batch {BATCH_SIZE}, one process", f"{rate:,.0f} baskets/s ({spent:,.0f} a second of processor)",
        f"{median_rate(peers):,.0f} baskets/s (item by item)", _ratio(ours, peers, processor), "",
        f">= {INDEX_RATE:,} baskets/s", rate >= INDEX_RATE,
    )  # fmt: skip


def _tensors(cache: Path) -> list[Line]:
    ours, peers, processor = _turns(cache, (tensors, peer_tensors))
    mean = 1e3 * BATCH_SIZE / median_rate(ours)
    of_peer = 1e3 * BATCH_SIZE / median_rate(peers)
    (full,) = take_turns(partial(in_own_process, full_batches, cache=str(cache)), runs=RUNS)
    longest = 1e3 / median_rate(full)
    spent = median(1e3 * seconds * BATCH_SIZE for seconds in processor[0])
    return [
        Line(
            f"loader: T1 to T6, batch {BATCH_SIZE}, mean of an epoch", f"{mean:.3f} ms ({spent:.3f} ms of processor)",
            f"{of_peer:.2f} ms (item by item)", _ratio(ours, peers, processor), "", f"<= {MEAN_MS} ms", mean <= MEAN_MS,
        ),
        Line(
            f"loader: T1 to T6, full {BATCH_SIZE} x {LONGEST}", f"{longest:.2f} ms", "", "", "", f"<= {FULL_MS} ms",
            longest <= FULL_MS,
        ),
    ]  # fmt: skip


def _turns(cache: Path, workloads: tuple[Any, Any]) -> tuple[list[Sample], list[Sample], list[list[float]]]:
    """Samples of ours and the peer's, and of each turn the processor's seconds a basket."""
    told: list[list[float]] = [[], []]
    ours, peers = take_turns(
        *(partial(_turn, cache, each, told[place]) for place, each in enumerate(workloads)), runs=RUNS
    )
    return ours, peers, told


def _turn(cache: Path, workload: Callable[..., Any], told: list[float]) -> Sample:
    sample = in_own_process(workload, cache=str(cache))
    told.append(json.loads((cache.parent / "processor.json").read_text()) / sample.items)
    return sample


def _ratio(ours: list[Sample], peers: list[Sample], processor: list[list[float]]) -> str:
    wall = median(our.rate / their.rate for our, their in zip(ours, peers, strict=True))
    spent = median(their / our for our, their in zip(*processor, strict=True))
    return f"{wall:.0f}x; processor {spent:.0f}x"


def _padding(cache: Path) -> Line:
    """Of all places in an epoch's batches, those that hold no item."""
    import numpy as np

    lengths = np.minimum(_dataset(cache).arrays.lengths, LONGEST)
    batches = [indices.tokens.shape for indices in _loader(cache).indices()]
    mine = 1 - lengths.sum() / sum(rows * width for rows, width in batches)
    mixed = np.random.default_rng(0).permutation(lengths)
    buckets = np.searchsorted(DOCUMENTED_EDGES, mixed)
    random, documented = (_waste(each) for each in ([mixed], [mixed[buckets == bucket] for bucket in range(4)]))
    return Line(
        "loader: padding", f"{mine:.2%}", f"{documented:.0%} (buckets {DOCUMENTED_EDGES}), {random:.0%} (random order)",
        f"{documented / mine:.0f}x, {random / mine:.0f}x", "", f"<= {WASTE:.0%}", mine <= WASTE,
    )  # fmt: skip


def _waste(groups: list[Any]) -> float:
    """Of whole batches, taken in order."""
    held = taken = 0
    for lengths in groups:
        batches = lengths[: len(lengths) // BATCH_SIZE * BATCH_SIZE].reshape(-1, BATCH_SIZE)
        held, taken = held + int(batches.sum()), taken + int(batches.max(1).sum()) * BATCH_SIZE
    return 1 - held / taken


def _opening(cache: Path) -> Line:
    (opened,) = take_turns(partial(in_own_process, opening, cache=str(cache)), runs=RUNS)
    seconds = median(sample.seconds for sample in opened)
    return Line(
        f"loader: opening, {LARGE_BASKETS:,} baskets", f"{seconds:.2f} s", target=f"<= {OPEN_SECONDS:g} s",
        met=seconds <= OPEN_SECONDS,
    )  # fmt: skip


def _memory(cache: Path) -> Line:
    in_own_process(windows, cache=str(cache))
    found = json.loads((cache.parent / "memory.json").read_text())
    return Line(
        f"loader: anonymous memory, {LARGE_BASKETS:,} baskets", f"{found['beyond']:,.0f} MB",
        f"{found['imports']:,.0f} MB (imports alone)", target=f"<= {MEMORY_MB} MB", met=found["beyond"] <= MEMORY_MB,
    )  # fmt: skip


def indices(cache: str) -> Callable[[], int]:
    """An epoch's indices."""
    return _timed(cache, lambda: (len(each.customer) for each in _loader(Path(cache)).indices()))


def tensors(cache: str) -> Callable[[], int]:
    """An epoch with every tensor; the encoder, which an epoch does not make anew, is there before."""
    loader = _loader(Path(cache))
    loader.dataset.encoder  # noqa: B018

    def work() -> Iterator[int]:
        for batch in loader:
            batch.get_dense_context()
            batch.get_sequence_features()
            yield len(batch)

    return _timed(cache, work)


def peer_indices(cache: str) -> Callable[[], int]:
    """Batches of the peer without T1 to T6."""
    batches = peer_loader(_dataset(Path(cache)), _some_batches(Path(cache)), tensors=False)
    return _timed(cache, lambda: (len(batch["tokens"]) for batch in batches))


def peer_tensors(cache: str) -> Callable[[], int]:
    """Batches of the peer with T1 to T6."""
    batches = peer_loader(_dataset(Path(cache)), _some_batches(Path(cache)), tensors=True)
    return _timed(cache, lambda: (len(batch["tokens"]) for batch in batches))


def full_batches(cache: str) -> Callable[[], int]:
    """Batches whose every basket is of the longest kind."""
    loader = _loader(Path(cache))
    encoder = loader.dataset.encoder
    found = [
        each for each in loader.indices() if (each.tokens != 0).all() and each.tokens.shape == (BATCH_SIZE, LONGEST)
    ]
    if len(found) < 10:
        raise BenchmarkError("loader: too few batches are full to measure them")

    def work() -> int:
        for each in found:
            encoder.encode(each, with_trip=False)
        return len(found)

    return work


def opening(cache: str) -> Callable[[], int]:
    """Open the dataset and its loader, nothing of which is imported for the first time."""
    from platform_assets.world_model.dataset import WorldModelDataset
    from platform_assets.world_model.loader import WorldModelDataLoader

    return lambda: len(WorldModelDataLoader(WorldModelDataset(cache)))


def windows(cache: str) -> Callable[[], int]:
    """The first windows' batches with every tensor; writes the most anonymous memory seen in any of them."""
    _loader(Path(cache).parent / "small")
    imports = _anonymous_mb()
    loader = _loader(Path(cache))

    def work() -> int:
        most = 0.0
        for number, batch in enumerate(loader):
            batch.get_dense_context()
            batch.get_sequence_features()
            if number % 64 == 0:
                most = max(most, _anonymous_mb())
            if number == WINDOWS * 2**18 // BATCH_SIZE:
                break
        (Path(cache).parent / "memory.json").write_text(json.dumps({"imports": imports, "beyond": most - imports}))
        return number

    return work


def _timed(cache: str, batches: Callable[[], Iterator[int]]) -> Callable[[], int]:
    """Count baskets, and write the processor's seconds beside the cache."""

    def work() -> int:
        began = time.process_time()
        count = sum(batches())
        (Path(cache).parent / "processor.json").write_text(json.dumps(time.process_time() - began))
        return count

    return work


def _dataset(cache: Path) -> Any:
    import torch

    from platform_assets.world_model.dataset import WorldModelDataset

    torch.set_num_threads(1)
    return WorldModelDataset(cache, max_seq_len=LONGEST)


def _loader(cache: Path) -> Any:
    from platform_assets.world_model.loader import WorldModelDataLoader

    return WorldModelDataLoader(_dataset(cache), BATCH_SIZE)


def _some_batches(cache: Path) -> list[list[int]]:
    rows = [each.rows.tolist() for each in _loader(cache).indices()]
    return rows[:: max(1, len(rows) // PEER_BATCHES)]


def _require_equal(cache: Path) -> None:
    """Both compute the same: else there is nothing to compare."""
    import torch

    dataset = _dataset(cache)
    rows = [5, 17, 4_000]
    (batch,) = peer_loader(dataset, [rows], tensors=True, mask_prob=0)
    for place, row in enumerate(rows):
        mine = dataset[row]
        items = mine.indices.tokens.shape[1]
        same = torch.allclose(batch["dense"][place], mine.get_dense_context()[0], atol=1e-4)
        same &= torch.allclose(batch["sequence"][place, :items], mine.get_sequence_features()[0], atol=1e-4)
        if not same:
            raise BenchmarkError(f"loader: the peer's tensors of basket {row} are not ours")


def _anonymous_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon:")).split()[1]) * 1024 / 1e6
