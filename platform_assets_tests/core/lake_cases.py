"""What the tests of the lake publish, and how they look at it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core.lake import Address, Input, Lake, Lineage, Publication, Revision

ADDRESS = Address("planner/events", "2026-01-02")
TABLE = "events.parquet"


def write(path: Path, ids: list[int], **options: Any) -> Path:
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), path, **options)
    return path


def lineage(**changed: Any) -> Lineage:
    known = {"inputs": (Input("planner/source", "2026-01-02", "d1"),), "source_rows": 3, "code_version": "1"}
    return Lineage(**(known | {"details": {"checks": [{"name": "fresh", "passed": True}]}} | changed))


def publish(lake: Lake, path: Path, ids: list[int], why: Lineage | None = None, **options: Any) -> Publication:
    source = write(path / f"{threading.get_ident()}.parquet", ids)
    return lake.publish_table(ADDRESS, {TABLE: source}, why or lineage(), **options)


def ids_of(lake: Lake, revision: Revision, scratch: Path) -> list[int]:
    return sorted(pq.read_table(lake.fetch(revision, TABLE, scratch, verify=True))["id"].to_pylist())


def pointer(lake: Lake, address: Address = ADDRESS) -> bytes:
    found = lake.store.read(f"{address.path}/manifest.json")
    assert found is not None
    return found[0]


def damage(lake: Lake, revision: Revision, name: str, change: Callable[[bytes], bytes]) -> None:
    key = f"{revision.address.path}/{revision.file(name).path}"
    found = lake.store.read(key)
    assert found is not None
    lake.store.put(key, change(found[0]))
