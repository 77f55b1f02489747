"""Trino's log in a bucket: the same rows as from a folder, only what a day needs is fetched, and faults that name the setting."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.s3_store import S3Store
from platform_assets.core.settings import TRINO_SAMPLE
from platform_assets.core.stores import StoreUnreachable
from platform_assets.query_predictor.query_rows import RawQuery
from platform_assets.query_predictor.sources import SourceError, open_source
from platform_assets_tests.fault_proxy import FOREVER, Fault, FaultProxy
from platform_assets_tests.lake_stores import Server
from platform_assets_tests.query_predictor.query_samples import DAY, NOON, completed_event, documented

Put = Callable[[str, bytes], str]


@pytest.fixture
def put(rclone: Server, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a key below a prefix that nobody else uses, and returns the prefix; this server answers no ranges."""
    return _put(rclone.use(monkeypatch))


@pytest.fixture
def put_with_ranges(moto: Server, monkeypatch: pytest.MonkeyPatch) -> Put:
    """The same on a server that answers ranges as S3 does."""
    return _put(moto.use(monkeypatch))


def _put(url: str) -> Put:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    store = S3Store(bucket, prefix, single_writer=True)

    def put_key(key: str, content: bytes) -> str:
        store.put(key, content)
        return url

    return put_key


def packed(*rows: dict[str, Any], **options: Any) -> bytes:
    target = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows)), target, **options)
    return target.getvalue().to_pybytes()


def lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def rows(setting: str, day: date = DAY, strays: bool = False) -> list[RawQuery]:
    return [row for batch in open_source(setting).read(day, strays) for row in batch]


@pytest.mark.slow
def test_every_day_of_the_recorded_log_is_the_same_from_a_bucket(put_with_ranges: Put) -> None:
    log = TRINO_SAMPLE / "queries.parquet"
    url = put_with_ranges("log/queries.parquet", log.read_bytes())
    ids = pq.read_table(log, columns=["query_id"]).column(0).to_pylist()
    first, last = (datetime.strptime(found[:8], "%Y%m%d").date() for found in (min(ids), max(ids)))
    here, there = open_source(str(log)), open_source(f"{url}/log")
    total = 0
    for offset in range((last - first).days + 1):
        day, strays = first + timedelta(days=offset), offset == 0
        expected = list(here.read(day, strays))
        assert list(there.read(day, strays)) == expected, day
        total += sum(len(batch) for batch in expected)
    assert total == len(ids)


def test_a_day_of_the_recorded_log_is_the_same_from_a_server_without_ranges(put: Put) -> None:
    log = TRINO_SAMPLE / "queries.parquet"
    day = datetime.strptime(pq.read_table(log, columns=["query_id"]).column(0)[3000].as_py()[:8], "%Y%m%d").date()
    found = rows(put("queries.parquet", log.read_bytes()), day)
    assert len(found) > 10
    assert found == rows(str(log), day)


def test_a_prefix_is_read_as_the_same_folder_is(put: Put, tmp_path: Path) -> None:
    names = ["b.jsonl", "a-b/x.jsonl", "a/x.jsonl.gz", "a/y.jsonl", "_tmp/z.jsonl", "a/.z.jsonl", "a/_z.jsonl", "notes.txt"]  # fmt: skip
    url = ""
    for name in names:
        content = lines(completed_event(context__user=name), "no object")
        content = gzip.compress(content) if name.endswith(".gz") else content
        (path := tmp_path / "log" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        url = put(f"log/{name}", content)
    found = rows(f"{url}/log", strays=True)
    assert found == rows(str(tmp_path / "log"), strays=True)
    assert [row.user for row in found if not row.fault] == ["a/x.jsonl.gz", "a/y.jsonl", "a-b/x.jsonl", "b.jsonl"]
    assert len(found) == 8


def test_one_key_is_read_alone_and_a_folder_with_a_files_name_as_a_folder(put: Put) -> None:
    put("one.parquet", packed(documented(user="one")))
    url = put("other.parquet/part-0.parquet", packed(documented(user="part")))
    assert [row.user for row in rows(f"{url}/one.parquet")] == ["one"]
    assert [row.user for row in rows(f"{url}/other.parquet")] == ["part"]
    assert [row.user for row in rows(url)] == ["one", "part"]


def test_the_empty_key_that_stands_for_a_folder_is_no_file(moto: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    url = moto.use(monkeypatch)
    client = boto3.client("s3", endpoint_url=moto.endpoint)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    content = {"": b"", "log.parquet/": b"", "log.parquet/part-0.parquet": packed(documented())}
    for key, body in content.items():
        client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=body)
    assert len(rows(url)) == len(rows(f"{url}/log.parquet")) == 1


def test_a_day_fetches_the_footer_and_its_row_groups_alone(
    put_with_ranges: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 10 row groups of about a megabyte.
    content = packed(
        *(
            documented(queryId=f"q{day}-{part}", query="x" * 35_000, createTime=NOON + timedelta(days=day), endTime=NOON + timedelta(days=day))
            for day in range(10) for part in range(30)
        ),
        row_group_size=30, compression="none", use_dictionary=False,
    )  # fmt: skip
    url = put_with_ranges("log.parquet", content)
    fetched: list[int] = []
    get = obstore.get

    def counted(client: Any, key: str, *, options: Any = None) -> Any:
        result = get(client, key, options=options)
        fetched.append(result.range[1] - result.range[0])
        return result

    monkeypatch.setattr(obstore, "get", counted)
    assert len(rows(f"{url}/log.parquet", DAY + timedelta(days=4))) == 30
    group = len(content) / 10
    assert group > 600_000
    assert group < sum(fetched) < 2.5 * group
    assert len(fetched) <= 8
    fetched.clear()
    assert rows(f"{url}/log.parquet", DAY - timedelta(days=1)) == []
    assert sum(fetched) < group


def test_lines_are_streamed_in_pieces(put_with_ranges: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    url = put_with_ranges("log.jsonl", lines(*(completed_event(metadata__query="x" * 100_000) for _ in range(120))))
    fetched: list[tuple[int, int]] = []
    get = obstore.get

    def counted(client: Any, key: str, *, options: Any = None) -> Any:
        fetched.append(options["range"])
        return get(client, key, options=options)

    monkeypatch.setattr(obstore, "get", counted)
    batches = open_source(url).read(DAY)
    first = next(batches)
    assert 2 <= len(fetched) <= 3
    assert all(end - start <= 4 * 1024 * 1024 for start, end in fetched)
    assert len(first) + sum(len(batch) for batch in batches) == 120


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_store_that_is_away_may_be_tried_again(put: Put, rclone: Server, monkeypatch, ending: str) -> None:
    url = put(f"log.{ending}", packed(documented()) if ending == "parquet" else lines(completed_event()))
    with FaultProxy(rclone.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        source = open_source(url)
        proxy.plan(Fault("unavailable", times=FOREVER, method="GET"))
        monkeypatch.setattr("platform_assets.core.s3_store.RETRIES", 0)
        with pytest.raises(StoreUnreachable):
            list(source.read(DAY))
        with pytest.raises(StoreUnreachable):
            open_source(url)


def test_what_a_person_must_mend_names_the_setting(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    url = put("mixed/a.parquet", b"none")
    put("mixed/b.jsonl", b"")
    put("torn.jsonl.gz", gzip.compress(lines(completed_event()) * 100)[:-20])
    cases = (
        ("s3://no-such-bucket/log", "bucket no-such-bucket does not exist: create it, or correct PLATFORM_TRINO_SOURCE"),
        (f"{url}/nothing", "PLATFORM_TRINO_SOURCE is .*/nothing, where no .parquet"), (f"{url}/no.parquet", "where no .parquet"),
        (f"{url}/mixed", "holds both"), (f"{url}/mixed/a.parquet", "a.parquet cannot be read as Parquet"),
        (f"{url}/torn.jsonl.gz", "cut short"), ("s3://", "write a folder's path or s3://"), ("s3a://bucket/x", "only s3:// and"),
        ("s3://key:secret@bucket/log", "holds credentials"), ("s3://key:sec/ret@bucket/log", "holds credentials"),
        ("s3://bucket/log?key=a&secret=b", "AWS_ACCESS_KEY_ID"),
    )  # fmt: skip
    for setting, message in cases:
        with pytest.raises(SourceError, match=message) as caught:
            rows(setting)
        assert "secret" not in str(caught.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not/a/real+secret/but/of/realistic/lengtx")
    with pytest.raises(SourceError, match=r"PLATFORM_TRINO_SOURCE: .*SignatureDoesNotMatch") as caught:
        rows(f"{url}/mixed")
    assert "lengtx" not in str(caught.value)


def test_a_key_that_went_after_the_listing_is_named(put: Put) -> None:
    url = put("log.jsonl", lines(completed_event()))
    source = open_source(url)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    S3Store(bucket, prefix).delete("log.jsonl")
    with pytest.raises(SourceError, match=r"log\.jsonl is missing"):
        list(source.read(DAY))
