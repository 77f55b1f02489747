"""Writers that meet, fail or lose their answer: one whole revision is current at any time, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from platform_assets.core.digest import digest_table
from platform_assets.core.lake import Lake, LakeError, PublicationConflict
from platform_assets_tests.core.lake_cases import ADDRESS, TABLE, ids_of, lineage, publish, write
from platform_assets_tests.lake_stores import open_again


class Wrapped:
    """A store whose `swap` and `create` can be made to misbehave."""

    def __init__(self, store: Any, misbehave: Callable[[str, str, Callable[[], str]], str]) -> None:
        self.store, self.misbehave = store, misbehave

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def create(self, key: str, content: bytes) -> str:
        return self.misbehave("create", key, lambda: self.store.create(key, content))

    def swap(self, key: str, content: bytes, etag: str) -> str:
        return self.misbehave("swap", key, lambda: self.store.swap(key, content, etag))


def test_a_pointer_that_moved_to_other_content_is_a_conflict_and_nothing_is_lost(lake: Lake, tmp_path: Path) -> None:
    seen = publish(lake, tmp_path, [1]).revision
    theirs = publish(lake, tmp_path, [1, 2]).revision
    with pytest.raises(PublicationConflict, match=f"holds {theirs.digest} where this writer had read {seen.digest}"):
        publish(lake, tmp_path, [1, 2, 3], expected=seen)
    assert lake.current(ADDRESS) == theirs
    mine = lake.revision(ADDRESS, digest_table([write(tmp_path / "mine.parquet", [3, 2, 1])]).digest)
    assert ids_of(lake, mine, tmp_path / "scratch") == [1, 2, 3]
    with pytest.raises(PublicationConflict):
        publish(lake, tmp_path, [1, 2, 3], expected=None)
    assert publish(lake, tmp_path, [1, 2, 3], expected=theirs).pointer_moved


def test_a_pointer_that_moved_to_the_same_content_is_no_conflict(lake: Lake, tmp_path: Path) -> None:
    seen = publish(lake, tmp_path, [1]).revision
    theirs = publish(lake, tmp_path, [1, 2]).revision
    assert publish(lake, tmp_path, [2, 1], expected=seen).revision == theirs
    mine = publish(lake, tmp_path, [2, 1], lineage(code_version="2"), expected=seen)
    assert mine.pointer_moved
    assert mine.revision.file(TABLE) == theirs.file(TABLE)


def test_a_writer_between_reading_and_swapping_is_noticed(contested_lake: Lake, tmp_path: Path) -> None:
    lake, other = contested_lake, open_again(contested_lake)
    publish(lake, tmp_path, [1])

    def overtaken_by(ids: list[int], version: str) -> Callable[[str, str, Callable[[], str]], str]:
        def misbehave(operation: str, key: str, write: Callable[[], str]) -> str:
            if key.endswith("manifest.json"):
                publish(other, tmp_path, ids, lineage(code_version=version))
            return write()

        return misbehave

    store = lake.store
    lake.store = Wrapped(store, overtaken_by([9], "1"))
    with pytest.raises(PublicationConflict):
        publish(lake, tmp_path, [1, 2])
    lake.store = Wrapped(store, overtaken_by([1, 2, 3], "2"))
    assert publish(lake, tmp_path, [1, 2, 3]).revision.digest == other.current(ADDRESS).digest  # pyright: ignore


@pytest.mark.parametrize("step", ["manifest.json", "revision.json"])
def test_a_time_out_after_the_write_succeeded_is_recognised(lake: Lake, tmp_path: Path, step: str) -> None:
    def lose_the_answer(operation: str, key: str, write: Callable[[], str]) -> str:
        written = write()
        if key.endswith(step):
            raise TimeoutError("no answer")
        return written

    lake.store = Wrapped(lake.store, lose_the_answer)
    for ids in ([1], [1, 2]):
        done = publish(lake, tmp_path, ids)
        assert done.pointer_moved
        assert open_again(lake).current(ADDRESS) == done.revision


@pytest.mark.parametrize("step", ["manifest.json", "revision.json"])
def test_a_write_that_failed_is_raised_and_changes_nothing_visible(lake: Lake, tmp_path: Path, step: str) -> None:
    before = publish(lake, tmp_path, [1]).revision
    store = lake.store

    def fail(operation: str, key: str, write: Callable[[], str]) -> str:
        if key.endswith(step):
            raise TimeoutError("no answer")
        return write()

    lake.store = Wrapped(store, fail)
    with pytest.raises(TimeoutError):
        publish(lake, tmp_path, [1, 2])
    lake.store = store
    assert lake.current(ADDRESS) == before
    assert publish(lake, tmp_path, [1, 2], expected=before).pointer_moved


def test_a_torn_write_is_never_seen(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, [0])
    done, seen = threading.Event(), list[int]()

    def read() -> None:
        reader = open_again(lake)
        while not done.is_set():
            revision = reader.current(ADDRESS)
            assert revision is not None
            number = int(reader.read_side(revision, "number"))
            seen.append(number)
            assert ids_of(reader, revision, tmp_path / "scratch") == list(range(number + 1))

    publish(lake, tmp_path, [0], lineage(code_version="2"), side_files={"number": b"0"})
    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(1, 25):
            publish(lake, tmp_path, list(range(number + 1)), side_files={"number": str(number).encode()})
        done.set()
        for reader in readers:
            reader.result()
    assert len(set(seen)) > 1


def test_details_that_are_not_json_are_refused_before_anything_is_written(folder_lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="details cannot be written as JSON"):
        publish(folder_lake, tmp_path, [1], lineage(details={"share": float("nan")}))
    assert not Path(folder_lake.root).exists()
