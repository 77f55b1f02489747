"""Where Trino's log is read from: PLATFORM_TRINO_SOURCE to one of the adapters, each streaming one UTC day.

`*.parquet` and `*.jsonl` (or `*.jsonl.gz`), as a path, a glob or a folder of them, or as s3://bucket/key or s3://bucket/prefix; or
postgresql://user@host/database/table. Endpoint and credentials of S3 come from the AWS_* environment.
An adapter gives every row of the day, also those that break a rule, and with `strays` those that nothing gives to a day: one day of a
calendar must ask for them, so that they are quarantined somewhere. Lines of JSON have a day by those beside them. What makes a row valid does not belong here
(`query_rows`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import Protocol

from platform_assets.core import source_folder
from platform_assets.core.folder_store import FolderStore
from platform_assets.core.redaction import without_password
from platform_assets.core.stores import Store
from platform_assets.query_predictor.query_rows import RawQuery, day_of

SETTING = "PLATFORM_TRINO_SOURCE"
JSON_LINES = (".jsonl", ".jsonl.gz")
PARQUET = (".parquet",)
_ENDINGS = (*PARQUET, *JSON_LINES)


class SourceError(RuntimeError):
    """The source cannot be read as it is set; the message names the setting or the file, and the remedy."""


class Source(Protocol):
    """A log of queries."""

    @property
    def name(self) -> str:
        """As it may be shown."""
        ...

    def read(self, day: date, strays: bool = False) -> Iterator[list[RawQuery]]:
        """The rows of a UTC day, in an order that the next reading has too, in batches of a few megabytes."""
        ...


@dataclass(frozen=True)
class LogFile:
    """One file, here or in a bucket; `name` is where it lies, as it may be shown."""

    name: str
    store: Store
    key: str

    @property
    def last_name(self) -> str:
        """Without the folders."""
        return self.key.rpartition("/")[2]

    @contextmanager
    def opened(self) -> Iterator[io.RawIOBase]:
        """Its bytes. Raises SourceError for what the store refuses, StoreUnreachable for what a later try may mend."""
        with source_folder.faults(SETTING, SourceError), self.store.open(self.key) as content:
            yield content


def open_source(setting: str) -> Source:
    """The adapter for a setting. Raises SourceError for one that cannot be used, StoreUnreachable while a bucket is away."""
    if "://" in setting and not setting.startswith("s3://"):
        from platform_assets.query_predictor.source_table import TableSource

        if setting.startswith(("postgresql://", "postgres://")):
            return TableSource(setting)
        raise SourceError(
            f"{SETTING} is {without_password(setting)}; only s3:// and postgresql:// are read over a network"
        )
    files = _files(setting)
    if all(file.key.endswith(PARQUET) for file in files):
        from platform_assets.query_predictor.source_parquet import ParquetSource

        return ParquetSource(setting, files)
    if all(file.key.endswith(JSON_LINES) for file in files):
        from platform_assets.query_predictor.source_json_lines import JsonLinesSource

        return JsonLinesSource(setting, files)
    raise SourceError(
        f"{SETTING} is {setting}, which holds both Parquet and JSON lines: keep each in a folder of its own"
    )


def of_day(rows: Sequence[RawQuery], day: date, strays: bool) -> list[RawQuery]:
    """Those of the day; with `strays` also those of no day."""
    placed = ((row, day_of(row)) for row in rows)
    return [row for row, its_day in placed if its_day == day or (strays and its_day is None)]


def _files(setting: str) -> list[LogFile]:
    """In the order of their names, folder by folder: the same for the same files in a folder and in a bucket."""
    if not setting:
        raise SourceError(f"{SETTING} is not set: name a Parquet or JSON-lines file, a folder of them, or a table")
    if setting.startswith("s3://"):
        with source_folder.faults(SETTING, SourceError):
            files = _in_bucket(setting)
    else:
        files = [LogFile(str(path), FolderStore(path.parent), path.name) for path in sorted(_on_disk(setting))]
    if not files:
        raise SourceError(f"{SETTING} is {setting}, where no {', '.join(_ENDINGS)} file is; correct it")
    return files


def _on_disk(setting: str) -> list[Path]:
    root = Path(setting).expanduser()
    if root.is_file():
        found = [root]
    elif root.is_dir():
        found = [path for path in root.rglob("*") if not _is_hidden(path.relative_to(root).parts)]
    else:
        found = [Path(path) for path in glob(str(root), recursive=True)] if has_magic(str(root)) else []
    return [path for path in found if path.is_file() and path.name.endswith(_ENDINGS)]


def _in_bucket(setting: str) -> list[LogFile]:
    """What looks like a file may be a folder: Spark writes log.parquet/part-00000.parquet."""
    name, folder = source_folder.open_store(setting, SETTING, SourceError)
    place, _, last = name.rpartition("/")
    if last.endswith(_ENDINGS) and place != "s3:/":
        _, beside = source_folder.open_store(place, SETTING, SourceError)
        if beside.size(last) is not None:
            return [LogFile(name, beside, last)]
    sizes = {entry.key: entry.size for entry in folder.list()}
    # Some tools keep an empty key for a folder; the listing shows it under the folder's name.
    folders = {str(parent) for key in sizes for parent in PurePosixPath(key).parents}
    keys = [key for key, size in sizes.items() if key.endswith(_ENDINGS) and (size or key not in folders)]
    shown = sorted(key.split("/") for key in keys if not _is_hidden(key.split("/")))
    return [LogFile("/".join((name, *parts)), folder, "/".join(parts)) for parts in shown]


def _is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)
