"""Each damages one array of a good tensor cache so that a basket could know too much; the check fails, and says which."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform_assets.world_model import cache_leaks
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets_tests.world_model.cache_world import build, some_baskets, write_inputs
from platform_assets_tests.world_model.damaged_cache import damaged


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[CacheInputs, Path]:
    folder = tmp_path_factory.mktemp("world")
    inputs = write_inputs(folder / "inputs", some_baskets())
    return inputs, build(folder, inputs)


def test_a_good_cache_has_no_leak(world) -> None:
    outcome = cache_leaks.no_leak(TensorCache(world[1]))
    assert outcome.passed, outcome.reason


def first_known(array: Any, value: int) -> Any:
    """The first element that is not 0, changed by `value`."""
    changed = array.astype(np.int64)
    changed[np.flatnonzero(array)[0]] += value
    return changed


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("test/prior_purchases", lambda a: first_known(a, 1), "there are not its own items|beyond the customer's own"),
        ("test/prior_purchases", lambda a: a * 0, "there are not its own items"),
        ("test/trips", lambda a: a[::-1], "trips"),
        ("purchase_days", lambda a: a + 1, "there are not its own items of its day"),
        ("purchases", lambda a: np.roll(a, 1), "there are not its own items"),
        ("test/day", lambda a: a - 1, "of its day"),
        ("test/customer", lambda a: np.where(a == 1, 2, a), "trips"),
        ("customer_snapshots", lambda a: np.ones_like(a), "snapshot 0 knows"),
        ("product_baskets", lambda a: first_known(a, 3), "not in as many train baskets as product_baskets says: PRD00"),
        ("weekly_baskets", lambda a: np.roll(a, -1, axis=0), "weekly_baskets is not what the baskets of"),
        ("train/items", lambda a: np.where(a == 3, 4, a), "in no train basket"),
        ("train/store", lambda a: a * 0 + 1, "1 stores have an index, and no train basket"),
    ],
)
def test_a_leak_fails_the_check(world, tmp_path: Path, name: str, change, reason: str) -> None:
    outcome = cache_leaks.no_leak(damaged(world, tmp_path / "copy", name, change))
    assert not outcome.passed
    assert re.search(reason, outcome.reason), outcome.reason


def test_a_basket_that_lies_later_within_an_hour_is_no_earlier_one(world, tmp_path: Path) -> None:
    """Ids swapped between two visits of a customer: everything counts as before, and the order is wrong."""
    cache = damaged(world, tmp_path / "copy", "test/hour", lambda hours: 18 - hours)
    assert "a basket counts trips that come after it" in cache_leaks.no_leak(cache).reason
