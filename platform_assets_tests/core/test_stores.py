"""What a store lacks or refuses is told before anything is written, with the remedy and without secrets."""

from __future__ import annotations

import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from platform_assets.core.lake import Lake, LakeError, StoreUnsuitable
from platform_assets.core.stores import Conflict
from platform_assets_tests.core.lake_cases import ADDRESS, publish
from platform_assets_tests.lake_stores import BUCKET, SECRET_KEY, Server

WRITERS = 8


def test_of_writers_that_swap_or_create_at_once_one_wins(contested_lake: Lake) -> None:
    store = contested_lake.store
    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(15):
            gate, found = threading.Barrier(WRITERS), store.read("a/pointer")

            def write(writer: int, gate=gate, found=found, number=number) -> int:
                content = f"{number} {writer}".encode()
                gate.wait()
                try:
                    store.swap("a/pointer", content, found[1]) if found else store.create("a/pointer", content)
                except Conflict:
                    return 0
                return 1

            assert sum(pool.map(write, range(WRITERS))) == 1


def test_a_failed_write_leaves_no_temporary_file(folder_lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        folder_lake.store.put_file("a/b", tmp_path / "missing")
    assert [path for path in Path(folder_lake.root).rglob("*") if path.is_file()] == []


def test_a_store_without_conditional_writes_is_refused_before_anything_is_written(
    rclone: Server, monkeypatch, tmp_path
) -> None:
    url = rclone.use(monkeypatch)
    for attempt in (Lake(url).check, lambda: publish(Lake(url), tmp_path, [1])):
        with pytest.raises(StoreUnsuitable, match="PLATFORM_LAKE_SINGLE_WRITER=1"):
            attempt()
    assert objects(url) == []


def test_trying_out_conditional_writes_leaves_nothing_behind(moto: Server, monkeypatch) -> None:
    url = moto.use(monkeypatch)
    Lake(url).check()
    assert objects(url) == []


def objects(url: str) -> list[str]:
    import obstore
    from obstore.store import S3Store

    client = S3Store(BUCKET, client_options={"allow_http": True})
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    return [found["path"] for page in obstore.list(client, prefix) for found in page]


@pytest.mark.parametrize("operation", ["read", "write"])
def test_bad_credentials_are_named_without_the_secret(rclone: Server, monkeypatch, tmp_path, operation: str) -> None:
    secret = SECRET_KEY[::-1]
    lake = Lake(rclone.use(monkeypatch, AWS_SECRET_ACCESS_KEY=secret))
    with pytest.raises(
        LakeError, match=r"SignatureDoesNotMatch.*check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
    ) as told:
        lake.current(ADDRESS) if operation == "read" else publish(lake, tmp_path, [1])
    text = "".join(traceback.format_exception(told.value))
    assert secret not in text
    assert SECRET_KEY not in text


def test_a_missing_bucket_is_not_an_empty_lake(moto: Server, rclone: Server, monkeypatch, tmp_path: Path) -> None:
    for server in (moto, rclone):
        server.use(monkeypatch)
        lake = Lake("s3://no-such-bucket/lake", single_writer=True)
        for attempt in (lambda lake=lake: lake.current(ADDRESS), lambda lake=lake: publish(lake, tmp_path, [1])):
            with pytest.raises(LakeError, match="bucket no-such-bucket does not exist: create it"):
                attempt()


def test_a_store_that_does_not_answer_is_named(moto: Server, monkeypatch) -> None:
    lake = Lake(moto.use(monkeypatch, AWS_ENDPOINT_URL="http://127.0.0.1:9"))
    with pytest.raises(LakeError, match="check AWS_ENDPOINT_URL and that the store runs"):
        lake.current(ADDRESS)
