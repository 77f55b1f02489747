"""Tensor caches with one array that is not as it was written: for tests of whatever has to notice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from platform_assets.world_model import cache_files, cache_inputs
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_files import Document, SplitCounts
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.tensor_cache import TensorCache


def overwrite(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change an array where it lies, and nothing else."""
    array = np.load(folder / f"{name}.npy")
    np.save(folder / f"{name}.npy", change(array).astype(array.dtype))


def damaged(world: tuple[CacheInputs, Path], copy: Path, name: str, change: Callable[[Any], Any]) -> TensorCache:
    """A copy of a cache (after the inputs it was built from) with one array changed, and its documents written to fit."""
    inputs, folder = world
    shutil.copytree(folder, copy)
    overwrite(copy, name, change)
    before = TensorCache(folder).document
    counts = {split: SplitCounts(**before["splits"][split]) for split in layout.SPLITS}
    document = Document(before["weeks"], cache_inputs.read_vocabulary(inputs), counts, before["seed"])
    return TensorCache(cache_files.write_documents(copy, document))
