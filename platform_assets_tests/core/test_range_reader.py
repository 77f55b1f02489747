"""Files that are read by ranges: what was asked for and no other bytes, few requests, and one object from start to end."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.core import range_reader
from platform_assets.core.folder_store import FolderStore
from platform_assets.core.range_reader import AHEAD_BYTES, RangeReader
from platform_assets.core.s3_store import S3Store
from platform_assets.core.stores import Corrupt, Store, StoreUnreachable
from platform_assets_tests.fault_proxy import Fault, FaultProxy
from platform_assets_tests.lake_stores import Server

STEPS = st.tuples(st.sampled_from(["read", "readinto", "start", "here", "end"]), st.integers(0, 90))


def reader(content: bytes, asked: list[tuple[int, int]]) -> RangeReader:
    def fetch(start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(content)
        asked.append((start, end))
        return content[start:end]

    return RangeReader(fetch, len(content))


@given(st.binary(max_size=80), st.integers(1, 40), st.lists(STEPS, max_size=12))
def test_whatever_is_read_in_whatever_order_is_what_a_file_gives(content: bytes, ahead: int, steps) -> None:
    file, found = io.BytesIO(content), reader(content, [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_reader, "AHEAD_BYTES", ahead)
        for step, number in steps:
            if step == "read":
                assert found.read(number) == file.read(number)
            elif step == "readinto":
                one, other = bytearray(number), bytearray(number)
                assert (found.readinto(one), one) == (file.readinto(other), other)
            else:
                back = -min(number, {"here": file.tell(), "end": len(content)}.get(step, 0))
                place = (number, io.SEEK_SET) if step == "start" else (back, getattr(io, {"here": "SEEK_CUR", "end": "SEEK_END"}[step]))  # fmt: skip
                assert found.seek(*place) == file.seek(*place)
            assert found.tell() == file.tell()
        assert found.read() == file.read()
    with pytest.raises(ValueError, match="before the file's start"):
        found.seek(-1)


def test_small_neighbours_come_with_one_request_and_large_pieces_alone() -> None:
    asked: list[tuple[int, int]] = []
    found = reader(bytes(10 * AHEAD_BYTES), asked)
    for _ in range(8):
        found.read(1_000)
    found.seek(4 * AHEAD_BYTES)
    found.read(2 * AHEAD_BYTES)
    assert asked == [(0, AHEAD_BYTES), (4 * AHEAD_BYTES, 6 * AHEAD_BYTES)]


def test_an_answer_that_is_too_short_is_a_store_that_is_away_and_no_damaged_file() -> None:
    with pytest.raises(StoreUnreachable, match="2 bytes came where 5 were asked for: run it again"):
        RangeReader(lambda start, end: b"ab", 5).read()


def test_a_parquet_reader_passes_an_answer_that_is_too_short_on_as_it_is() -> None:
    written = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(100_000))}), written, compression="none")
    content, is_short = written.getvalue(), False

    def fetch(start: int, end: int) -> bytes:
        return content[start : end - 1 if is_short else end]

    with pq.ParquetFile(RangeReader(fetch, len(content))) as file:
        is_short = True
        with pytest.raises(StoreUnreachable, match="bytes came where"):
            file.read()


@pytest.fixture(params=["folder", "rclone", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path)
    server: Server = request.getfixturevalue(request.param)
    bucket, _, prefix = server.use(monkeypatch).removeprefix("s3://").partition("/")
    return S3Store(bucket, prefix, single_writer=server.single_writer)


@pytest.mark.parametrize("key", ["a/b.bin", "day=2026-01-05/a b+c é#%41[1].bin"])
def test_every_store_opens_its_keys_at_any_place(store: Store, key: str) -> None:
    store.put(key, b"0123456789")
    store.put("empty", b"")
    with store.open(key) as content:
        assert content.read() == b"0123456789"
        content.seek(-4, io.SEEK_END)
        assert (content.read(2), content.read(9), content.read(1)) == (b"67", b"89", b"")
    with io.BufferedReader(store.open(key), 3) as lines:
        assert lines.readline() == b"0123456789"
    assert store.open("empty").read() == b""
    with pytest.raises(Corrupt, match="is missing"):
        store.open("nothing")


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one(
    moto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, _, prefix = moto.use(monkeypatch).removeprefix("s3://").partition("/")
    store = S3Store(bucket, prefix)
    store.put("key", b"old" * AHEAD_BYTES)
    content = store.open("key")
    content.read(3)
    store.put("key", b"new" * AHEAD_BYTES)
    content.seek(2 * AHEAD_BYTES)
    with pytest.raises(StoreUnreachable, match="was replaced while it was read"):
        content.read(3)


def test_a_request_that_failed_is_made_again(moto: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, _, prefix = moto.use(monkeypatch).removeprefix("s3://").partition("/")
    S3Store(bucket, prefix).put("key", b"0123456789")
    with FaultProxy(moto.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        content = S3Store(bucket, prefix).open("key")
        proxy.plan(Fault("reset_after", method="GET"), Fault("unavailable", method="GET"))
        content.seek(5)
        assert content.read() == b"56789"
        assert proxy.left() == 0
