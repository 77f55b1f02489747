"""In which order an epoch visits a split, and which baskets make a batch: a function of sizes, seed and epoch alone.

An order of all 47 million baskets of a large split would take 376 MB and touch the disk at random. Here blocks of neighbours,
which the cache wrote in random order, are shuffled; what follows in that order is taken in windows, and only one window at a
time is sorted by length, cut into batches, and its batches shuffled. The cost is that a batch is drawn from a window and not
from the whole split. Every rank cuts the same batches; a window can be cut without those before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from platform_assets.training.randomness import generator
from platform_assets.world_model import ragged

WINDOW = 2**18
# So that neighbours in one epoch are not neighbours in the next; of a block, reads are contiguous.
BLOCKS_OF_WINDOW = 16
# What is computed for 2**14 baskets at once fits into a processor's cache, and takes a sixteenth of a window's memory.
PARTS_OF_WINDOW = 16

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """The windows of a split of so many baskets: as near to `window` as whole batches fit, the last one shorter.

    Raises ValueError for sizes below one.
    """

    baskets: int
    batch_size: int
    window: int = WINDOW

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.window < 1:
            raise ValueError(f"batch_size and window must be 1 or more, not {self.batch_size} and {self.window}")

    @property
    def batches_of_window(self) -> int:
        """Batches of every window but the last."""
        return max(1, self.window // self.batch_size)

    @property
    def batches(self) -> int:
        """Of the whole epoch: all are full but one."""
        return -(-self.baskets // self.batch_size)

    @property
    def batches_of_part(self) -> int:
        """Batches that are prepared at once."""
        return max(1, self.batches_of_window // PARTS_OF_WINDOW)

    def __len__(self) -> int:
        return -(-self.batches // self.batches_of_window)

    def order(self, seed: int, epoch: int | None) -> Order:
        """The order of an epoch; without one, that of the file."""
        size = max(1, self.batches_of_window * self.batch_size // BLOCKS_OF_WINDOW)
        blocks = np.arange(-(-self.baskets // size))
        if epoch is not None:
            generator("blocks", seed, epoch).shuffle(blocks)
        return Order(self, size, blocks)


@dataclass(frozen=True, eq=False)
class Order:
    """Blocks of `size` baskets in the order in which they are visited."""

    windows: Windows
    size: int
    blocks: NDArray[np.int64]

    def rows(self, window: int) -> Rows:
        """The baskets of a window, block by block."""
        length = self.windows.batches_of_window * self.windows.batch_size
        first, last = window * length, min((window + 1) * length, self.windows.baskets)
        starts = self.blocks * self.size
        stops = np.minimum(starts + self.size, self.windows.baskets)
        ends = np.cumsum(stops - starts)
        begin, end = np.searchsorted(ends, [first, last - 1], side="right")
        parts = [np.arange(starts[block], stops[block]) for block in range(begin, end + 1)]
        skipped = first - (int(ends[begin]) - len(parts[0]))
        return np.concatenate(parts)[skipped : skipped + last - first]


class Cut(NamedTuple):
    """Batches: `rows[bounds[i]:bounds[i + 1]]` are one."""

    rows: Rows
    bounds: NDArray[np.int64]

    def part(self, number: int, batches: int) -> Cut:
        """The number-th so many batches."""
        bounds = self.bounds[number * batches : (number + 1) * batches + 1]
        return Cut(self.rows[bounds[0] : bounds[-1]], bounds - bounds[0])

    def parts(self, batches: int) -> int:
        """How many parts of so many batches there are."""
        return -(-(len(self.bounds) - 1) // batches)


def cut(
    rows: Rows, lengths: NDArray[np.integer], batch_size: int, by_length: bool,
    ties: np.random.Generator | None, batches: np.random.Generator | None,
) -> Cut:  # fmt: skip
    """Rows in batches of like length, or as they come; `ties` shuffles equals, `batches` the batches. One batch may be short."""
    order = np.arange(len(rows)) if ties is None else ties.permutation(len(rows))
    if by_length:
        # Stable: among equals the random order remains. The short batch is of short baskets, the cheapest ones.
        order = order[np.argsort(-lengths[order].astype(np.int16), kind="stable")]
    edges = np.append(np.arange(0, len(rows), batch_size), len(rows))
    if batches is None:
        return Cut(rows[order], edges)
    chosen = batches.permutation(len(edges) - 1)
    sizes = np.diff(edges)[chosen]
    return Cut(rows[order[ragged.places(edges[chosen], sizes)]], ragged.offsets(sizes))
