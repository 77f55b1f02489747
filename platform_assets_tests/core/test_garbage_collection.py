"""The collector and publishers at once, in every order, and collectors that die: what is published stays whole."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from platform_assets.core.garbage_collection import Collector
from platform_assets.core.lake import Lake, LakeError, Publication, Revision
from platform_assets_tests.core.interleaving import Actor, in_random_order
from platform_assets_tests.core.lake_cases import ADDRESS, lineage
from platform_assets_tests.lake_stores import open_again

# Whatever the clocks say: age must not be what keeps the protocol safe.
NOW = timedelta(hours=-1)
SEED, SAMPLE = 20260102, 4
# More than any actor's operations.
ALL = 60


class Stopped(Exception):
    """Stands for a killed process: nothing is done after it."""


def collect(lake: Lake, age: timedelta = NOW) -> list[str]:
    collector = Collector(lake.root, lake.store, age)
    return [entry.key for entry in collector.apply(collector.plan(()))]


class Case:
    """A partition with garbage of one kind, and a publication that needs just that."""

    def __init__(self, lake: Lake, folder: Path, kind: str) -> None:
        self.lake, self.kind = lake, kind
        self.wanted, self.other = folder / "wanted", folder / "other"
        self.wanted.write_text("wanted")
        self.other.write_text("other")
        getattr(self, f"_make_{kind}")()

    def publish(self, lake: Lake, version: str = "new", side: bytes = b"side") -> Publication:
        why = lineage(code_version=version)
        return lake.publish_files(ADDRESS, {"model": self.wanted}, why, side_files={"side": side})

    def collect(self, lake: Lake) -> None:
        """What is only to be condemned takes a second run to delete: also while one publisher is at work."""
        for _ in range(2 if self.kind == "unnamed" else 1):
            collect(lake)

    def displace(self) -> Publication:
        return self.lake.publish_files(ADDRESS, {"model": self.other}, lineage())

    def _make_unnamed(self) -> None:
        self.publish(self.lake, "old")
        self.displace()

    def _make_condemned(self) -> None:
        self._make_unnamed()
        assert collect(self.lake) == []

    def _make_died(self) -> None:
        self.displace()
        with pytest.raises(Stopped):
            self.publish(stopping(self.lake, "create", 1))

    def _make_collected(self) -> None:
        self._make_condemned()
        assert collect(self.lake)

    def _make_half_deleted(self) -> None:
        self._make_condemned()
        with pytest.raises(Stopped):
            collect(stopping(self.lake, "delete", 2))

    def _make_side(self) -> None:
        for number in range(3):
            self.publish(self.lake, f"old {number}", f"old side {number}".encode())


KINDS = [name.removeprefix("_make_") for name in vars(Case) if name.startswith("_make_")]


def stopping(lake: Lake, operation: str, number: int) -> Lake:
    """The lake for a process that dies instead of its `number`-th such operation ("" counts all but reads)."""

    class Store:
        left = number

        def __getattr__(self, name: str) -> Any:
            real = getattr(lake.store, name)
            if name != operation and (operation or name in ("read", "size", "list", "fetch", "check")):
                return real

            def counted(*arguments: Any) -> Any:
                self.left -= 1
                if self.left <= 0:
                    raise Stopped
                return real(*arguments)

            return counted

    mine = open_again(lake)
    mine.store = Store()  # pyright: ignore[reportAttributeAccessIssue]
    return mine


def require_whole(lake: Lake, revision: Revision) -> None:
    """Every file of a revision can be read and is what its manifest says."""
    for file in revision.files:
        found = lake.store.read(f"{revision.address.path}/{file.path}")
        assert found is not None, f"{file.path} is gone"
        assert hashlib.sha256(found[0]).hexdigest() == file.sha256


def require_published(lake: Lake, publication: Publication) -> None:
    current = lake.current(ADDRESS)
    assert current == publication.revision
    require_whole(lake, current)
    require_whole(lake, lake.revision(ADDRESS, current.digest))


def require_clean(lake: Lake) -> None:
    """After two more runs everything there is is named, by the pointer or its record."""
    for _ in range(2):
        collect(lake)
    current = lake.current(ADDRESS)
    assert current is not None
    named = {*current.files, *lake.revision(ADDRESS, current.digest).files}
    keys = {entry.key for entry in lake.store.list() if not entry.key.rsplit("/", 1)[-1].startswith(".")}
    records = {key for key in keys if key.endswith("/revision.json")}
    assert keys - records == {f"{ADDRESS.path}/manifest.json", *(f"{ADDRESS.path}/{file.path}" for file in named)}


def orders(lengths: tuple[int, int], every: bool) -> list[tuple[int, int, int]]:
    """(who begins, operations until the switch, operations of the other until the switch back)."""
    found = [
        (first, mine, theirs)
        for first in (0, 1)
        for mine in range(1, lengths[first])
        for theirs in range(1, lengths[1 - first] + 1)
    ]
    return found if every else random.Random(SEED).sample(found, SAMPLE)


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_publishing_what_is_being_collected_is_safe_in_every_order(
    contested_lake: Lake, tmp_path: Path, kind: str, every_kill_point: bool, visited: Callable[[int], None]
) -> None:
    def fresh(name: str) -> tuple[Case, Actor, Actor]:
        part = Lake(f"{contested_lake.root}/{name}")
        case = Case(part, tmp_path, kind)
        return case, Actor(part, case.publish), Actor(part, case.collect)

    lengths = (fresh("a")[1].steps(ALL), fresh("b")[2].steps(ALL))
    assert min(lengths) > 2
    for number, (first, mine, theirs) in enumerate(orders(lengths, every_kill_point)):
        case, publisher, collector = fresh(str(number))
        one, other = (publisher, collector) if first == 0 else (collector, publisher)
        one.steps(mine)
        other.steps(theirs)
        one.finish()
        other.finish()
        require_published(case.lake, publisher.result)
        require_clean(case.lake)
        visited(1)


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_two_collectors_and_two_publishers_in_random_orders_leave_the_last_publication_whole(
    contested_lake: Lake, tmp_path: Path, kind: str, every_kill_point: bool, visited: Callable[[int], None]
) -> None:
    for seed in range(60 if every_kill_point else 3):
        lake = Lake(f"{contested_lake.root}/{seed}")
        case = Case(lake, tmp_path, kind)
        publishers = [Actor(lake, partial(case.publish, version=version)) for version in ("a", "b")]
        in_random_order([*publishers, Actor(lake, case.collect), Actor(lake, collect)], seed)
        done = [publisher.finish() for publisher in publishers]
        current = lake.current(ADDRESS)
        assert current in [publication.revision for publication in done]
        require_published(lake, next(publication for publication in done if publication.revision == current))
        require_clean(lake)
        visited(1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_collector_that_dies_anywhere_leaves_the_published_whole_and_the_next_one_finishes(
    lake: Lake, tmp_path: Path, kind: str
) -> None:
    for number in range(1, ALL):
        part = Lake(f"{lake.root}/{number}", single_writer=True)
        case = Case(part, tmp_path, kind)
        before = part.current(ADDRESS)
        try:
            collect(stopping(part, "", number))
        except Stopped:
            assert part.current(ADDRESS) == before
            require_whole(part, before)  # pyright: ignore[reportArgumentType]
            require_published(part, case.publish(part))
            require_clean(part)
        else:
            assert number > 1 or kind == "collected"
            return
    raise AssertionError("the collector never ended")


def test_a_collected_revision_is_named_as_such_and_can_be_published_again(lake: Lake, tmp_path: Path) -> None:
    case = Case(lake, tmp_path, "unnamed")
    digest = case.publish(lake).revision.digest
    case.displace()
    assert collect(lake) == []
    require_whole(lake, lake.revision(ADDRESS, digest))
    assert collect(lake)
    with pytest.raises(LakeError, match=r"any more: nothing named it, and it was collected at 2"):
        lake.revision(ADDRESS, digest)
    require_published(lake, case.publish(lake))
