"""Where Trino's log is read from: PLATFORM_TRINO_SOURCE to one of the adapters, each streaming one UTC day.

`*.parquet` and `*.jsonl` (or `*.jsonl.gz`), as a path, a glob or a folder of them, or postgresql://user@host/database/table.
An adapter gives every row of the day, also those that break a rule, and with `strays` those that no time of theirs gives to a day:
one day of a calendar must ask for them, so that they are quarantined somewhere. What makes a row valid does not belong here
(`query_rows`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from glob import glob, has_magic
from pathlib import Path
from typing import Protocol

from platform_assets.core.redaction import without_password
from platform_assets.query_predictor.query_rows import RawQuery, day_of

SETTING = "PLATFORM_TRINO_SOURCE"
JSON_LINES = (".jsonl", ".jsonl.gz")
PARQUET = (".parquet",)


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


def open_source(setting: str) -> Source:
    """The adapter for a setting. Raises SourceError for one that cannot be used."""
    if "://" in setting:
        from platform_assets.query_predictor.source_table import TableSource

        if setting.startswith(("postgresql://", "postgres://")):
            return TableSource(setting)
        raise SourceError(f"{SETTING} is {without_password(setting)}; only postgresql:// is read over a network")
    files = _files(setting)
    if all(path.name.endswith(PARQUET) for path in files):
        from platform_assets.query_predictor.source_parquet import ParquetSource

        return ParquetSource(setting, files)
    if all(path.name.endswith(JSON_LINES) for path in files):
        from platform_assets.query_predictor.source_json_lines import JsonLinesSource

        return JsonLinesSource(setting, files)
    raise SourceError(
        f"{SETTING} is {setting}, which holds both Parquet and JSON lines: keep each in a folder of its own"
    )


def of_day(rows: Sequence[RawQuery], day: date, strays: bool) -> list[RawQuery]:
    """Those of the day; with `strays` also those of no day."""
    placed = ((row, day_of(row)) for row in rows)
    return [row for row, its_day in placed if its_day == day or (strays and its_day is None)]


def _files(setting: str) -> list[Path]:
    """In the order of their paths. Hidden files are left out."""
    if not setting:
        raise SourceError(f"{SETTING} is not set: name a Parquet or JSON-lines file, a folder of them, or a table")
    root = Path(setting).expanduser()
    if root.is_file():
        found = [root]
    elif root.is_dir():
        found = [
            path
            for path in root.rglob("*")
            if not any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
        ]
    else:
        found = [Path(path) for path in glob(str(root), recursive=True)] if has_magic(str(root)) else []
    files = sorted(path for path in found if path.is_file() and path.name.endswith((*PARQUET, *JSON_LINES)))
    if not files:
        raise SourceError(f"{SETTING} is {setting}, where no {', '.join((*PARQUET, *JSON_LINES))} file is; correct it")
    return files
