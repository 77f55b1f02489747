"""The as-of join against a brute-force oracle: ties, late knowledge, empty histories, time-zone edges."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.core.transform import as_of_sql

EPOCH = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)  # a night on which European clocks change
TIMESTAMP = pa.timestamp("us", tz="UTC")
Version = tuple[str, datetime, datetime, str]
Request = tuple[str, datetime]


def slow_as_of(requests: list[Request], versions: list[Version]) -> dict[Request, tuple | None]:
    """The rule, word for word: visible iff valid and recorded by then; the greatest (valid_from, recorded_at, id) wins."""
    found = {}
    for entity, at in requests:
        visible = [v[1:] for v in versions if v[0] == entity and v[1] <= at and v[2] <= at]
        found[(entity, at)] = max(visible) if visible else None
    return found


def fast_as_of(
    folder: Path, requests: list[Request], versions: list[Version], threads: int = 2
) -> dict[Request, tuple | None]:
    """The same through the engine."""
    request_file, version_file = folder / "requests.parquet", folder / "versions.parquet"
    asked = [(number, *request) for number, request in enumerate(requests)]
    known = [(number, *version) for number, version in enumerate(versions)]
    _write(request_file, {"request": pa.int64(), "entity": pa.string(), "asked_at": TIMESTAMP}, asked)
    _write(
        version_file,
        {
            "version": pa.int64(),
            "entity": pa.string(),
            "valid_from": TIMESTAMP,
            "recorded_at": TIMESTAMP,
            "id": pa.string(),
        },
        known,
    )
    engine = Engine(folder / "scratch", threads=threads)
    rows = engine.rows(as_of_sql("requests", "versions"), {"requests": [request_file], "versions": [version_file]})
    assert sorted(row["request"] for row in rows) == list(range(len(requests))), "one row per request"
    return {requests[row["request"]]: None if row["version"] is None else versions[row["version"]][1:] for row in rows}


def _write(path: Path, schema: dict[str, pa.DataType], rows: list[tuple]) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.values(), strict=True)]
    pq.write_table(pa.table(dict(zip(schema, arrays, strict=True))), path)


def generated_case(seed: int, size: int, density: int) -> tuple[list[Request], list[Version]]:
    """Random histories on a coarse grid of instants, so that ties are frequent and knowledge often comes late."""
    generator = random.Random(seed)
    entities = [f"household-{i}" for i in range(size // density)]

    def instant() -> datetime:
        zone = timezone(timedelta(hours=generator.choice([-11, 0, 2, 14])))
        return (EPOCH + timedelta(minutes=30 * generator.randrange(60))).astimezone(zone)

    versions = set()
    while len(versions) < size:
        valid, recorded = instant(), instant()
        versions.add(
            (generator.choice(entities), valid.astimezone(UTC), recorded.astimezone(UTC), generator.choice("abc"))
        )
    strangers = [f"stranger-{i}" for i in range(5)]
    requests = [(generator.choice(entities + strangers), instant().astimezone(UTC)) for _ in range(size)]
    return requests, sorted(versions)


@pytest.mark.parametrize(("seed", "density"), [(1, 2), (2, 10), (3, 60)])
def test_the_join_equals_the_oracle_on_five_thousand_rows_a_batch(tmp_path: Path, seed: int, density: int) -> None:
    requests, versions = generated_case(seed, 5_000, density)
    expected = slow_as_of(requests, versions)
    assert fast_as_of(tmp_path, requests, versions) == expected
    assert sum(winner is not None for winner in expected.values()) > 1_000
    assert None in expected.values()


def test_an_older_version_that_is_recorded_later_does_not_win(tmp_path: Path) -> None:
    newer = ("h", EPOCH + timedelta(hours=2), EPOCH + timedelta(hours=2), "newer")
    older_learned_late = ("h", EPOCH, EPOCH + timedelta(hours=5), "older")
    request = ("h", EPOCH + timedelta(hours=6))
    assert fast_as_of(tmp_path, [request], [newer, older_learned_late])[request] == newer[1:]


def test_the_instant_itself_is_visible_and_the_microsecond_after_is_not(tmp_path: Path) -> None:
    version = ("h", EPOCH, EPOCH, "v")
    requests = [("h", EPOCH), ("h", EPOCH - timedelta(microseconds=1))]
    assert fast_as_of(tmp_path, requests, [version]) == {requests[0]: version[1:], requests[1]: None}


def test_thread_count_and_row_order_do_not_matter(tmp_path: Path) -> None:
    requests, versions = generated_case(4, 2_000, 8)
    first = fast_as_of(tmp_path, requests, versions, threads=1)
    random.Random(5).shuffle(versions)
    assert fast_as_of(tmp_path, requests[::-1], versions, threads=4) == first


instants = st.integers(0, 6).map(lambda hours: EPOCH + timedelta(hours=hours))


@settings(max_examples=60, deadline=None)
@given(
    versions=st.lists(
        st.tuples(st.sampled_from("ab"), instants, instants, st.sampled_from("xyz")), max_size=12, unique=True
    ),
    requests=st.lists(st.tuples(st.sampled_from("abc"), instants), min_size=1, max_size=6),
)
def test_small_adversarial_histories_equal_the_oracle(
    tmp_path_factory: pytest.TempPathFactory, versions: list[Version], requests: list[Request]
) -> None:
    folder = tmp_path_factory.mktemp("as_of")
    assert fast_as_of(folder, requests, versions) == slow_as_of(requests, versions)
