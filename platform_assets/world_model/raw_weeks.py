"""The raw rows of one fiscal week, out of whatever files hold it: one file a week, or files of many weeks.

What it costs: a file of one week is read once. A Parquet file of many weeks has its SHOP_WEEK column counted once a run, and
is then read for each of the run's weeks, but only the row groups whose statistics hold the week: sorted by week that is once
in all, unsorted it is once a week. A CSV file of many weeks can only be read from its beginning: it is parted in one pass a
run, whatever number of weeks the run has, so fill such a calendar in one run of a range, not week by week.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from platform_assets.core.engine import Engine
from platform_assets.world_model import staging
from platform_assets.world_model.raw_files import RawFile, RawFolder
from platform_assets.world_model.raw_schema import RAW_ROWS, UNREADABLE_LINES
from platform_assets.world_model.shop_calendar import ShopCalendar, ShopWeek

NO_WEEK, NO_ROW = "none", "unreadable lines"


@dataclass(frozen=True)
class RawWeek:
    """Staged files of one week and what was counted in their sources.

    `files` are the source files that hold rows of the week, with their sizes. `strays` are rows of files of many weeks whose
    SHOP_WEEK is no week of the calendar, by what it says: no week can hold them.
    """

    week: ShopWeek
    rows: tuple[Path, ...]
    lines: tuple[Path, ...]
    source_rows: int
    files: Mapping[str, int]
    files_seen: int
    strays: Mapping[str, int]


@dataclass(frozen=True)
class _Many:
    """A file of many weeks, looked through once: rows by SHOP_WEEK, and for CSV where its parts lie."""

    file: RawFile
    counts: Mapping[str, int]
    parquet: staging.ParquetFile | None = None
    parts: Path | None = None


@dataclass
class RawWeeks:
    """The weeks of one run. `keys` are all weeks that the run will ask for; `scratch` lives as long as the run."""

    folder: RawFolder
    engine: Engine
    keys: Sequence[str]
    scratch: Path

    @cached_property
    def calendar(self) -> ShopCalendar:
        """The calendar file, read once a run."""
        return self.folder.calendar()

    def read(self, key: str, folder: Path) -> RawWeek:
        """Stage the raw rows of the week with this partition key into `folder`. Raises RawDataError."""
        week = self.calendar.week(key)
        rows, lines = [], [staging.write_empty(folder / "no_lines.parquet", UNREADABLE_LINES)]
        source_rows, files = 0, {}
        for number, file in enumerate(f for f in self._files if f.shop_week == week.number):
            staged = folder / f"rows-{number}.parquet", folder / f"lines-{number}.parquet"
            source_rows += staging.stage_file(self.engine, self._local(file, folder / "fetched"), *staged)
            files[file.name] = file.size
            rows.append(staged[0])
            lines += [staged[1]] if staged[1].exists() else []
        for number, many in enumerate(self._many):
            if found := many.counts.get(str(week.number)):
                rows += self._rows_of(many, week, folder / f"many-{number}.parquet")
                source_rows += found
                files[many.file.name] = many.file.size
        rows = rows or [staging.write_empty(folder / "no_rows.parquet", RAW_ROWS)]
        return RawWeek(week, tuple(rows), tuple(lines), source_rows, files, len(self._files), self._strays)

    @cached_property
    def _files(self) -> list[RawFile]:
        return self.folder.files(self.calendar.numbers)

    @cached_property
    def _many(self) -> list[_Many]:
        return [self._look_through(file) for file in self._files if file.shop_week is None]

    @cached_property
    def _strays(self) -> Mapping[str, int]:
        known = {str(number) for number in self.calendar.numbers}
        strays: dict[str, int] = {}
        for many in self._many:
            for text, rows in many.counts.items():
                if rows and text not in known:
                    strays[text or NO_WEEK] = strays.get(text or NO_WEEK, 0) + rows
        return strays

    def _look_through(self, file: RawFile) -> _Many:
        local = self._local(file, self.scratch / "fetched")
        if isinstance(local, staging.ParquetFile):
            return _Many(file, local.count_weeks(self.engine), parquet=local)
        target = self.scratch / "parted" / file.name
        target.mkdir(parents=True)
        wanted = [self.calendar.week(key).number for key in self.keys]
        unreadable = staging.part_csv(self.engine, local, wanted, sorted(self.calendar.numbers), target)
        counts = {str(number): _count(_parts(target, str(number))) for number in wanted}
        for path in _parts(target, staging.STRAY):
            for text, rows in staging.ParquetFile(path, file.name).count_weeks(self.engine).items():
                counts[text] = counts.get(text, 0) + rows
        return _Many(file, {**counts, NO_ROW: unreadable}, parts=target)

    def _rows_of(self, many: _Many, week: ShopWeek, target: Path) -> Sequence[Path]:
        if many.parts:
            return _parts(many.parts, str(week.number))
        assert many.parquet
        staging.stage_file(self.engine, many.parquet, target, target, week.number)
        return [target]

    def _local(self, file: RawFile, folder: Path) -> staging.CsvFile | staging.ParquetFile:
        path = self.folder.fetch(file, folder)
        return (staging.ParquetFile if file.is_parquet else staging.CsvFile)(path, file.name)


def _parts(target: Path, part: str) -> list[Path]:
    return sorted((target / f"part={part}").glob("*.parquet"))


def _count(paths: Sequence[Path]) -> int:
    return sum(staging.ParquetFile(path, path.name).rows() for path in paths)
