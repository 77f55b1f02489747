"""What raw transaction files look like: the columns of both releases, and the names they have from here on.

The current release has seg_1 and seg_2, the older one CUST_PRICE_SENSITIVITY and CUST_LIFESTAGE; typed rows have all four,
null where the release has them not. Column names are matched without regard to case, and others are ignored.
What makes a row good or bad does not belong here (sql/transactions.sql).
"""

from __future__ import annotations

from collections.abc import Sequence

COMMON = (
    "shop_week", "shop_date", "shop_weekday", "shop_hour", "quantity", "spend",
    "prod_code", "prod_code_10", "prod_code_20", "prod_code_30", "prod_code_40", "cust_code",
    "basket_id", "basket_size", "basket_price_sensitivity", "basket_type", "basket_dominant_mission",
    "store_code", "store_format", "store_region",
)  # fmt: skip
CURRENT_RELEASE = ("seg_1", "seg_2")
OLDER_RELEASE = ("cust_price_sensitivity", "cust_lifestage")
# The order of typed columns: the documented one, the older release's two behind the current one's.
_BEFORE_RELEASE = COMMON.index("cust_code") + 1
COLUMNS = COMMON[:_BEFORE_RELEASE] + CURRENT_RELEASE + OLDER_RELEASE + COMMON[_BEFORE_RELEASE:]
SOURCE_FILE = "source_file"
# What a staged week of raw rows holds: texts, and the file each came from.
RAW_ROWS = (SOURCE_FILE, *COLUMNS)
UNREADABLE_LINES = (SOURCE_FILE, "line", "content", "fault")


class RawDataError(ValueError):
    """The raw data cannot be used as it is: a person must act. The message names the file and the remedy."""


def column_map(found: Sequence[str], file: str) -> dict[str, str | None]:
    """For each of our columns the file's name for it, None for the other release's.

    Raises RawDataError that names the file and every column it lacks, or holds twice.
    """
    by_name: dict[str, str] = {}
    for name in found:
        plain = name.strip().lower()
        if plain in by_name and plain in COLUMNS:
            raise RawDataError(f"{file} has the column {plain.upper()} twice; give one of them another name")
        by_name[plain] = name
    missing = [name.upper() for name in COMMON if name not in by_name]
    if not any(all(name in by_name for name in release) for release in (CURRENT_RELEASE, OLDER_RELEASE)):
        missing.append("seg_1 and seg_2 (or CUST_PRICE_SENSITIVITY and CUST_LIFESTAGE)")
    if missing:
        raise RawDataError(
            f"{file} lacks the columns {', '.join(missing)}; it has {', '.join(found) or 'none'}. Correct the file, or take "
            "it out of PLATFORM_RETAIL_SOURCE if it holds no transactions"
        )
    return {name: by_name.get(name) for name in COLUMNS}
