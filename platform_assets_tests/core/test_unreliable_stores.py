"""Stores that answer late, not at all, or with a refusal: own successes are recognised, and an error tells what may pass."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_assets.core import publishing, s3_store
from platform_assets.core.lake import Corrupt, Lake, LakeError, StoreUnreachable
from platform_assets_tests.core.lake_cases import ADDRESS, TABLE, damage, ids_of, lineage, publish
from platform_assets_tests.fault_proxy import FOREVER, Fault, FaultProxy
from platform_assets_tests.lake_stores import Server
from platform_assets_tests.postgres import open_folder

MANIFEST, RECORD, DATA = r"manifest\.json", r"revision\.json", r"events\.parquet"
LARGE_BYTES = 17 * 1024 * 1024


@dataclass
class Proxied:
    """A lake reached through a proxy, and the same lake reached directly."""

    lake: Lake
    direct: Lake
    proxy: FaultProxy


@pytest.fixture(params=["rclone", "moto"])
def proxied(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxied]:
    server: Server = request.getfixturevalue(request.param)
    url = server.use(monkeypatch)
    direct = Lake(url, single_writer=server.single_writer)
    assert direct.current(ADDRESS) is None  # its client exists now, with the direct address
    with FaultProxy(server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        lake = Lake(url, single_writer=server.single_writer)
        lake.check()
        yield Proxied(lake, direct, proxy)


@pytest.mark.parametrize("step", [MANIFEST, RECORD, DATA])
def test_a_write_whose_answer_was_lost_is_recognised_as_ones_own(proxied: Proxied, tmp_path: Path, step: str) -> None:
    for ids in ([1], [1, 2]):
        proxied.proxy.plan(Fault("reset_after", method="PUT", path=step))
        done = publish(proxied.lake, tmp_path, ids, expected=proxied.direct.current(ADDRESS))
        assert proxied.proxy.left() == 0
        assert (done.digest_changed, done.pointer_moved) == (True, True)
        assert proxied.direct.current(ADDRESS) == done.revision
        assert ids_of(proxied.direct, done.revision, tmp_path / "scratch") == ids
    keys = [entry.key for entry in proxied.direct.store.list()]
    assert sum(key.endswith("revision.json") for key in keys) == 2
    assert sum(key.endswith(TABLE) for key in keys) == 2


@pytest.mark.parametrize("request_kind", ["uploads=", "partNumber=", r"\?uploadId=[^&]*$"])
def test_a_large_upload_whose_answers_are_lost_arrives(proxied: Proxied, tmp_path: Path, request_kind: str) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(LARGE_BYTES))
    proxied.proxy.plan(Fault("reset_after", path=request_kind))
    proxied.lake.store.put_file("a/large", large)
    assert proxied.proxy.left() == 0
    found = proxied.direct.store.read("a/large")
    assert found is not None
    assert found[0] == large.read_bytes()


@pytest.mark.parametrize("kind", ["unavailable", "reset_before", "reset_after"])
def test_faults_that_pass_are_survived_at_every_step(proxied: Proxied, tmp_path: Path, kind) -> None:
    before = publish(proxied.lake, tmp_path, [1]).revision
    proxied.proxy.plan(
        *(Fault(kind, method=method, path=step) for step in (MANIFEST, RECORD, DATA) for method in ("GET", "PUT"))
    )
    done = publish(proxied.lake, tmp_path, [1, 2], expected=before)
    assert done.pointer_moved
    assert ids_of(proxied.lake, done.revision, tmp_path / "scratch") == [1, 2]
    assert proxied.proxy.left() == 0


@pytest.mark.parametrize("kind", ["unavailable", "reset_before"])
def test_faults_that_last_are_told_as_such_and_change_nothing_visible(
    proxied: Proxied, tmp_path: Path, kind, monkeypatch
) -> None:
    monkeypatch.setattr(s3_store, "PAUSES", (0.01,))
    before = publish(proxied.lake, tmp_path, [1]).revision
    for number, step in enumerate((MANIFEST, RECORD, DATA)):
        proxied.proxy.plan(Fault(kind, times=FOREVER, method="PUT", path=step))
        with pytest.raises(StoreUnreachable, match="check AWS_ENDPOINT_URL and that the store runs"):
            publish(proxied.lake, tmp_path, [1, number])
        assert proxied.direct.current(ADDRESS) == before
    proxied.proxy.plan()
    assert publish(proxied.lake, tmp_path, [1, 2], expected=before).pointer_moved


def test_a_server_that_is_gone_is_unreachable_and_what_stays_wrong_is_not(
    moto: Server, rclone: Server, monkeypatch, tmp_path: Path
) -> None:
    with pytest.raises(StoreUnreachable):
        Lake(moto.use(monkeypatch, AWS_ENDPOINT_URL="http://127.0.0.1:9")).current(ADDRESS)
    moto.use(monkeypatch)
    lasting = [lambda: Lake("s3://no-such-bucket/lake").check()]
    for url in (
        rclone.use(monkeypatch, AWS_SECRET_ACCESS_KEY="x" * 40),
        rclone.use(monkeypatch, AWS_ACCESS_KEY_ID="A" * 20),
    ):
        lasting.append(lambda url=url: Lake(url, single_writer=True).current(ADDRESS))
    for attempt in lasting:
        with pytest.raises(LakeError) as told:
            attempt()
        assert not isinstance(told.value, StoreUnreachable)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "http://",
        "not a url",
        "http://[",
        "127.0.0.1:9000",
        "ftp://127.0.0.1:9",
        "http://127.0.0.1:99999",
        "http://h:port",
    ],
)
def test_an_endpoint_that_is_no_address_is_named_and_not_tried_again(
    moto: Server, monkeypatch, tmp_path: Path, endpoint: str
) -> None:
    lake = Lake(moto.use(monkeypatch, AWS_ENDPOINT_URL=endpoint))
    for attempt in (lake.check, lambda: lake.current(ADDRESS), lambda: publish(lake, tmp_path, [1])):
        with pytest.raises(LakeError, match="AWS_ENDPOINT_URL is not the address of a store: write http") as told:
            attempt()
        assert not isinstance(told.value, StoreUnreachable)


@pytest.mark.parametrize(
    "endpoint", ["http://[::1]:9", "HTTP://user:word@127.0.0.1:9/a/path/", "http://a-store_1.invalid"]
)
def test_an_endpoint_that_is_an_address_is_asked(moto: Server, monkeypatch, endpoint: str) -> None:
    with pytest.raises(StoreUnreachable):
        Lake(moto.use(monkeypatch, AWS_ENDPOINT_URL=endpoint)).current(ADDRESS)


def test_a_request_that_cannot_be_written_is_not_tried_again(moto: Server, monkeypatch) -> None:
    monkeypatch.setattr(s3_store, "check_endpoint", lambda: None)
    with pytest.raises(LakeError, match="builder error") as told:
        Lake(moto.use(monkeypatch, AWS_ENDPOINT_URL="ftp://127.0.0.1:9")).current(ADDRESS)
    assert not isinstance(told.value, StoreUnreachable)


def test_a_bucket_that_vanishes_is_named_and_nothing_is_reported_as_published(
    moto: Server, monkeypatch, tmp_path
) -> None:
    import http.client

    moto.use(monkeypatch)
    bucket = f"vanishing-{os.getpid()}"

    def ask(method: str, target: str) -> int:
        connection = http.client.HTTPConnection(moto.endpoint.removeprefix("http://"), timeout=60)
        scope = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        connection.request(method, target, headers={"Authorization": scope})
        return connection.getresponse().status

    assert ask("PUT", f"/{bucket}") == 200
    lake = Lake(f"s3://{bucket}/lake")
    publish(lake, tmp_path, [1])
    for entry in list(lake.store.list()):
        lake.store.delete(entry.key)
    assert ask("DELETE", f"/{bucket}") == 204
    for attempt in (lambda: publish(lake, tmp_path, [1, 2]), lambda: lake.current(ADDRESS)):
        with pytest.raises(LakeError, match=f"bucket {bucket} does not exist: create it"):
            attempt()


_PUBLISH_LARGE = """
import resource, sys
from pathlib import Path
from platform_assets.core.lake import Address, Lake, LakeError, Lineage
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    Lake(sys.argv[1]).publish_files(Address("planner/model", "week"), {"weights": Path(sys.argv[2])}, Lineage())
except LakeError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_is_named_and_leaves_the_old_revision_and_no_part(folder_lake: Lake, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    for content, limit, status in ((b"small", resource.RLIM_INFINITY, 0), (bytes(100_000), 50_000, 1), (b"any", 0, 1)):
        source.write_bytes(content)
        command = [sys.executable, "-c", _PUBLISH_LARGE, folder_lake.root, str(source), str(limit)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert found.returncode == status, found.stderr
        if status:
            assert "no room below" in found.stderr
            assert "free some space and run it again" in found.stderr
    assert not list(Path(folder_lake.root).rglob("*.part"))
    assert [entry.key.rsplit("/", 1)[-1] for entry in folder_lake.store.list()].count("manifest.json") == 1


def test_a_disk_that_is_really_full_is_named_too(tmp_path: Path) -> None:
    """A file system of 64 KiB, in a mount namespace of its own; left out where the kernel grants none."""
    disk, source = tmp_path / "disk", tmp_path / "weights"
    disk.mkdir()
    source.write_bytes(bytes(1_000_000))
    mount = f"mount -t tmpfs -o size=64k tmpfs {disk}"
    unshared = ["unshare", "--map-root-user", "--mount", "bash", "-c"]
    if subprocess.run([*unshared, mount], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    program = f'{mount} && exec "$@"'
    publishing = [sys.executable, "-c", _PUBLISH_LARGE, f"{disk}/lake", str(source), str(resource.RLIM_INFINITY)]
    found = subprocess.run([*unshared, program, "bash", *publishing], capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    assert "no room below" in found.stderr
    assert "No space left on device" in found.stderr


@pytest.fixture
def reachable_folder() -> Iterator[Path]:
    """A folder whose parents another user may pass through, unlike pytest's own."""
    folder = open_folder("platform-assets-lake-")
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written_is_named(reachable_folder: Path, tmp_path: Path) -> None:
    lake = Lake(reachable_folder / "lake")
    before = publish(lake, tmp_path, [1]).revision
    subject = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if subject and subprocess.run([*subject, "true"], capture_output=True).returncode:
        pytest.skip("cannot become another user here")
    program = f"""
import sys
from platform_assets.core.folder_store import FolderStore
from platform_assets.core.stores import LakeError
from pathlib import Path
store = FolderStore(Path({lake.root!r}))
for attempt in (store.check, lambda: store.put("a/b", b""), lambda: store.create("a/b", b"")):
    try:
        attempt()
    except LakeError as error:
        print(error)
"""
    Path(lake.root).chmod(0o555)
    try:
        found = subprocess.run(
            [*subject, sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd="/"
        )
    finally:
        Path(lake.root).chmod(0o755)
    assert found.stdout.count("cannot be written to or read (Permission denied") == 3, found.stderr
    assert lake.current(ADDRESS) == before


def test_a_truncated_file_is_refused_by_size_on_every_store(lake: Lake, tmp_path: Path) -> None:
    revision = publish(lake, tmp_path, [1, 2]).revision
    damage(lake, revision, TABLE, lambda content: content[:7])
    with pytest.raises(Corrupt, match="bytes instead of"):
        lake.fetch(revision, TABLE, tmp_path / "scratch")
    mended = publish(lake, tmp_path, [1, 2], lineage(code_version="2")).revision
    for found in (mended, lake.revision(ADDRESS, revision.digest)):
        assert ids_of(lake, found, tmp_path / "scratch") == [1, 2]


def test_a_clock_that_goes_back_a_year_changes_nothing_but_what_is_told(
    lake: Lake, tmp_path: Path, monkeypatch
) -> None:
    from datetime import UTC, datetime

    first = publish(lake, tmp_path, [1]).revision

    class LastYear(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2020, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(publishing, "datetime", LastYear)
    second = publish(lake, tmp_path, [1, 2], expected=first)
    assert second.revision.created_at < first.created_at
    assert second.pointer_moved
    assert lake.current(ADDRESS) == second.revision
    back = publish(lake, tmp_path, [1], lineage(code_version="2"), expected=second.revision)
    assert (back.digest_changed, back.revision.digest) == (True, first.digest)
    assert not publish(lake, tmp_path, [1], lineage(code_version="2")).pointer_moved
