"""A publisher that is killed, wherever it is, leaves the old revision or the new one, and its repetition completes.

`make test` visits a seeded sample of the points, `make test-faults` all of them.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_assets.core.lake import Lake, Publication, Revision
from platform_assets_tests.core.kill_points import DATASET, MODEL, STAGES, KillingProxy, Publishing, publish_in_a_child
from platform_assets_tests.core.lake_cases import write
from platform_assets_tests.core.test_garbage_collection import require_whole
from platform_assets_tests.lake_stores import Server

SEED, SAMPLE = 20260102, 3
# More than one part of a multipart upload.
LARGE_BYTES = 17 * 1024 * 1024
SITUATIONS = ("first", "replacement", "other reasons", "a lost copy", "model", "replaced model")


@dataclass
class Place:
    """A store, and how a child process is to reach it."""

    new_url: Callable[[int], str]
    environment: dict[str, str]
    proxy: KillingProxy | None


@pytest.fixture(params=["folder", "rclone", "moto"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> Iterator[Place]:
    if request.param == "folder":
        yield Place(lambda number: str(tmp_path / f"lake-{number}"), {}, None)
        return
    server: Server = request.getfixturevalue(request.param)
    url = server.use(monkeypatch)
    with KillingProxy(server.endpoint) as proxy:
        yield Place(lambda number: f"{url}/{number}", server.environment(AWS_ENDPOINT_URL=proxy.url), proxy)


def prepare(situation: str, folder: Path, large: bool) -> tuple[list[Publishing], Publishing]:
    """What was published before, and what is published when the process dies."""
    old = {"training.parquet": write(folder / "old.parquet", [1])}
    new = {
        "training.parquet": write(folder / "new.parquet", [1, 2]),
        "more.parquet": write(folder / "more.parquet", [3]),
    }
    weights, other = folder / "weights", folder / "other"
    weights.write_bytes(os.urandom(LARGE_BYTES if large else 1000))
    other.write_bytes(b"other")
    model = Publishing(MODEL, {"adapter/weights": weights, "config": other}, "1")
    wanted = Publishing(DATASET, new, "1")
    return {
        "first": ([], wanted),
        "replacement": ([Publishing(DATASET, old, "1")], wanted),
        "other reasons": ([Publishing(DATASET, new, "0")], wanted),
        "a lost copy": ([wanted], wanted),
        "model": ([], model),
        "replaced model": ([Publishing(MODEL, {"config": other}, "1")], model),
    }[situation]


def start(situation: str, place: Place, number: int, before: list[Publishing]) -> tuple[Lake, Publication | None]:
    lake, last = Lake(place.new_url(number), single_writer=True), None
    for publishing in before:
        last = publishing.run(lake)
    if situation == "a lost copy":
        lake.store.delete(f"{DATASET.path}/profile.json")
    return lake, last


def points(calls: int, is_folder: bool, every: bool) -> list[tuple[int, str]]:
    stages = STAGES if is_folder else ("before", "after")
    found = [(number, stage) for number in range(1, calls + 1) for stage in stages]
    return found if every else random.Random(SEED).sample(found, SAMPLE)


@pytest.mark.faults
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_publisher_killed_at_any_point_tears_nothing_and_its_repetition_completes(
    place: Place, situation: str, tmp_path: Path, every_kill_point: bool, visited: Callable[[int], None]
) -> None:
    before, wanted = prepare(situation, tmp_path, large=place.proxy is not None)
    lake, _ = start(situation, place, 0, before)
    calls = publish_in_a_child(wanted, lake, place.environment, (0, "before"), place.proxy)
    assert calls
    new = lake.current(wanted.address)
    assert new is not None
    for number, point in enumerate(points(calls, place.proxy is None, every_kill_point), 1):
        lake, old = start(situation, place, number, before)
        publish_in_a_child(wanted, lake, place.environment, point, place.proxy)
        require_old_or_new(lake, wanted, old.revision if old else None, new)
        done = wanted.run(lake).revision
        assert done == lake.current(wanted.address)
        assert done.digest == new.digest
        for revision in (done, lake.revision(wanted.address, done.digest)):
            require_whole(lake, revision)
        if wanted.address == DATASET:
            require_copies(lake, done)
        if place.proxy is None:
            shutil.rmtree(lake.root)
        visited(1)


def require_old_or_new(lake: Lake, wanted: Publishing, old: Revision | None, new: Revision) -> None:
    current = lake.current(wanted.address)
    if old is not None:
        require_whole(lake, lake.revision(old.address, old.digest))
    if current is None:
        assert old is None
        return
    require_whole(lake, current)
    if current != old:
        assert (current.digest, current.lineage) == (new.digest, new.lineage)


def require_copies(lake: Lake, revision: Revision) -> None:
    for file in revision.files:
        copied = lake.store.read(f"{DATASET.path}/{file.name}")
        original = lake.store.read(f"{DATASET.path}/{file.path}")
        assert copied is not None
        assert original is not None
        assert copied[0] == original[0]


def test_the_points_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    _, wanted = prepare("first", tmp_path, large=False)
    lake = Lake(tmp_path / "lake")
    calls = publish_in_a_child(wanted, lake, {}, (0, "before"), None)
    assert calls
    assert calls > 40
    halves, torn = {path.stat().st_size // 2 for path in wanted.files.values()}, set()
    for number in range(13, calls):
        lake = Lake(tmp_path / f"lake-{number}")
        assert publish_in_a_child(wanted, lake, {}, (number, "during"), None) is None
        torn = {entry.size for entry in lake.store.list() if entry.key.endswith(".part")}
        if torn & halves:
            return
    raise AssertionError("no point was in the middle of a data file")
