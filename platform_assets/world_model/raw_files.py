"""The folder or bucket with the raw files: which there are, which week each holds by its name, and their bytes on this machine.

Only the top of the folder is looked at. A file whose name holds one SHOP_WEEK of the calendar and no other (the release's
transactions_200607.csv) holds that week; any other CSV or Parquet file may hold many. What is inside them is
raw_weeks.py's business.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from platform_assets.core import source_folder
from platform_assets.core.stores import Entry
from platform_assets.world_model import shop_calendar
from platform_assets.world_model.raw_schema import RawDataError

SETTING = "PLATFORM_RETAIL_SOURCE"
_ENDINGS = (".csv", ".csv.gz", ".parquet")
_SIX_DIGITS = re.compile(r"(?<!\d)\d{6}(?!\d)")


@dataclass(frozen=True)
class RawFile:
    """One file; `shop_week` is None when it may hold many weeks."""

    name: str
    size: int
    shop_week: int | None

    @property
    def is_parquet(self) -> bool:
        """By its ending."""
        return self.name.endswith(".parquet")


class RawFolder:
    """A folder's path or s3://bucket/prefix; endpoint and credentials of S3 come from the AWS_* environment."""

    def __init__(self, url: str) -> None:
        self.url, self._store = source_folder.open_store(url, SETTING, RawDataError)

    def calendar(self) -> shop_calendar.ShopCalendar:
        """What time.csv says. Raises RawDataError when there is none or it cannot be used."""
        with source_folder.faults(SETTING, RawDataError):
            found = self._store.read(shop_calendar.NAME)
        if found is None:
            raise RawDataError(
                f"{self.url} holds no {shop_calendar.NAME}: put the retailer's calendar there, or correct {SETTING}"
            )
        try:
            return shop_calendar.read_calendar(found[0].decode("utf-8"))
        except UnicodeDecodeError:
            raise RawDataError(f"{self.url}/{shop_calendar.NAME} is not UTF-8 text") from None

    def files(self, shop_weeks: Set[int]) -> list[RawFile]:
        """Every file of transactions, by name. Raises RawDataError when there is none."""
        with source_folder.faults(SETTING, RawDataError):
            entries = [entry for entry in self._store.list() if _is_raw(entry)]
        if not entries:
            raise RawDataError(f"{self.url} holds no {', '.join(_ENDINGS)} file of transactions; correct {SETTING}")
        files = [RawFile(entry.key, entry.size, _week_of(entry.key, shop_weeks)) for entry in entries]
        return sorted(files, key=lambda file: file.name)

    def fetch(self, file: RawFile, folder: Path) -> Path:
        """A local path: the file in place, or from S3 a copy in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        with source_folder.faults(SETTING, RawDataError):
            return self._store.fetch(file.name, folder)


def _is_raw(entry: Entry) -> bool:
    hidden = entry.key.startswith((".", "_"))
    return not hidden and "/" not in entry.key and entry.key != shop_calendar.NAME and entry.key.endswith(_ENDINGS)


def _week_of(name: str, shop_weeks: Set[int]) -> int | None:
    numbers = {int(text) for text in _SIX_DIGITS.findall(name)}
    known = numbers & shop_weeks
    return known.pop() if len(numbers) == len(known) == 1 else None
