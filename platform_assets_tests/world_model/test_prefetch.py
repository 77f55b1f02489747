"""The thread that prepares ahead: no further than one element, its errors reach the consumer, and it ends with its iterator."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.prefetch import ahead
from platform_assets_tests.world_model.small_cache import write_small_cache
from platform_assets_tests.world_model.small_loader import loader


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> WorldModelDataset:
    return WorldModelDataset(write_small_cache(tmp_path_factory.mktemp("cache")))


def threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def ends(deadline: float = 5.0) -> bool:
    until = time.monotonic() + deadline
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    return not threads()


def test_the_prefetching_thread_ends_with_its_iterator(dataset: WorldModelDataset) -> None:
    batches = iter(loader(dataset))
    next(batches)
    assert threads() == 1
    del batches
    assert ends()
    list(loader(dataset))
    assert ends()


def test_an_error_while_preparing_reaches_the_consumer_after_what_came_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    found: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        found.extend(ahead(source()))
    assert found == [1, 2]
    assert ends()


def test_no_more_than_one_element_is_prepared_ahead() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    for number in ahead(source()):
        time.sleep(0.02)
        assert made[-1] <= number + 1
    assert made == list(range(10))


def test_an_error_in_the_loaders_arrays_reaches_the_consumer(
    dataset: WorldModelDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform_assets.world_model.loader.prepare", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(iter(loader(dataset)))
    assert ends()
