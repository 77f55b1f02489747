"""Trainings of the world model small enough to run dozens of times, and batches to ask a network with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from platform_assets.world_model.batch import Indices
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.fitting import fresh_network
from platform_assets.world_model.loader import WorldModelDataLoader
from platform_assets.world_model.network import NetworkOptions, WorldModelNetwork
from platform_assets.world_model.training_options import TrainingOptions
from platform_assets_tests.world_model.small_cache import write_small_cache

HISTORY = 40


def small_options(cache: Path, output: Path, **changes: Any) -> TrainingOptions:
    """Options of a training that takes a second."""
    given: dict[str, Any] = {
        "batch_size": 32, "epochs": 2, "learning_rate": 3e-3, "width": 16, "heads": 2, "layers": 1, "accelerator": "cpu",
        "purchase_history": HISTORY, "quick_validation_every": 3, "quick_validation_batches": 2, "threads": 1,
        "checkpoint_every": 1,
    }  # fmt: skip
    return TrainingOptions(cache, output, **{**given, **changes})


def words(options: TrainingOptions) -> list[str]:
    """As a command line."""
    found = []
    for name, value in vars(options).items():
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            found += [f"--{name}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def a_batch(data: WorldModelDataset, size: int = 24, history: int = HISTORY, seed: int = 0) -> Indices:
    """The first masked batch of a split, not sorted by length: of all lengths."""
    loader = WorldModelDataLoader(
        data, size, bucket_batching=False, seed=seed, purchase_history=history, prefetch=False
    )
    return next(loader.indices())


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> WorldModelDataset:
    """The train baskets of a cache; a module of tests takes it over, and `batch`, by name: `train = small_training.train`."""
    return WorldModelDataset(write_small_cache(tmp_path_factory.mktemp("cache"), products=60), "train")


@pytest.fixture(scope="module")
def batch(train: WorldModelDataset) -> Indices:
    return a_batch(train)


def stirred(data: WorldModelDataset, **options: Any) -> WorldModelNetwork:
    """A network whose every weight is random, in evaluation mode: an untrained one's projection is zero."""
    network = fresh_network(NetworkOptions(**{"width": 16, "heads": 2, "layers": 1, **options}), data.cache, 0)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    return network.eval()
