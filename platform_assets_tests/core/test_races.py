"""Sixteen writers at once: one winner per step, and nobody's acknowledged work is lost.

On a folder they are processes, because what keeps them apart is the file system's lock; on S3 threads, because it is the
server that does.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from platform_assets.core.lake import Lake, Publication, PublicationConflict
from platform_assets_tests.core.lake_cases import ADDRESS, lineage
from platform_assets_tests.core.test_garbage_collection import require_whole

WRITERS, ROUNDS = 16, 2
RACE_SECONDS = 120
_gate: Any = None


def _meet_at(gate: Any) -> None:
    global _gate
    _gate = gate


@pytest.fixture
def race(contested_lake: Lake) -> Iterator[Callable[..., list[Any]]]:
    """Runs a function for every writer at once: race(function, *arguments) calls function(lake's url, writer, *arguments)."""
    with _pool(is_folder="://" not in contested_lake.root) as pool:

        def run(function: Callable[..., Any], *arguments: Any) -> list[Any]:
            found = [pool.submit(function, contested_lake.root, writer, *arguments) for writer in range(WRITERS)]
            return [future.result(timeout=RACE_SECONDS) for future in found]

        yield run


def _pool(is_folder: bool) -> Executor:
    if not is_folder:
        return ThreadPoolExecutor(WRITERS, initializer=_meet_at, initargs=[threading.Barrier(WRITERS)])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(WRITERS, context, initializer=_meet_at, initargs=[context.Barrier(WRITERS)])


def _publish(url: str, content: str, version: str, folder: Path, expected: Any) -> Publication:
    source = folder / f"model-{content}"
    source.write_text(content)
    return Lake(url).publish_files(ADDRESS, {"model": source}, lineage(code_version=version), expected=expected)


def _once(url: str, writer: int, folder: Path, round_number: int, expected: Any) -> Publication | None:
    _gate.wait(RACE_SECONDS)
    try:
        return _publish(url, f"{round_number}-{writer}", str(writer), folder, expected)
    except PublicationConflict:
        return None


def _until_acknowledged(url: str, writer: int, folder: Path) -> list[Publication]:
    _gate.wait(RACE_SECONDS)
    done = []
    while len(done) < ROUNDS:
        try:
            done.append(_publish(url, f"{writer}-{len(done)}", f"{writer}-{len(done)}", folder, "any"))
        except PublicationConflict:
            continue
    return done


def _same_content(url: str, writer: int, folder: Path) -> Publication:
    (own := folder / str(writer)).mkdir()
    _gate.wait(RACE_SECONDS)
    return _publish(url, "the same", str(writer), own, None)


def test_of_writers_who_had_read_the_same_one_wins_each_round(contested_lake: Lake, race, tmp_path: Path) -> None:
    for round_number in range(ROUNDS):
        before = contested_lake.current(ADDRESS)
        won = [done for done in race(_once, tmp_path, round_number, before) if done]
        assert len(won) == 1
        assert won[0].previous == before
        assert contested_lake.current(ADDRESS) == won[0].revision
        for revision in (won[0].revision, before):
            if revision:
                require_whole(contested_lake, contested_lake.revision(ADDRESS, revision.digest))


def test_acknowledged_publications_form_one_chain(contested_lake: Lake, race, tmp_path: Path) -> None:
    done: list[Publication] = [publication for found in race(_until_acknowledged, tmp_path) for publication in found]
    assert len(done) == WRITERS * ROUNDS
    assert all(publication.pointer_moved for publication in done)
    by_digest = {publication.revision.digest: publication.revision for publication in done}
    assert len(by_digest) == len(done)
    chain = {
        publication.previous.digest if publication.previous else None: publication.revision for publication in done
    }
    assert len(chain) == len(done), "two acknowledged publications replaced the same one"
    last, length = None, 0
    while (key := last.digest if last else None) in chain:
        last, length = chain[key], length + 1
    assert length == len(done)
    assert contested_lake.current(ADDRESS) == last
    for digest in by_digest:
        require_whole(contested_lake, contested_lake.revision(ADDRESS, digest))


def test_writers_of_the_same_content_all_succeed_and_share_its_files(
    contested_lake: Lake, race, tmp_path: Path
) -> None:
    done: list[Publication] = race(_same_content, tmp_path)
    assert len({publication.revision.file("model") for publication in done}) == 1
    current = contested_lake.current(ADDRESS)
    assert current in [publication.revision for publication in done]
    assert current is not None
    require_whole(contested_lake, current)
    assert sum(publication.digest_changed for publication in done) == 1
