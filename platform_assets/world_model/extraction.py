"""One fiscal week of transactions: out of its raw files, typed, and parted into kept and quarantined rows.

The result lies in a scratch folder; publishing it is the asset's business.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.world_model import raw_schema, raw_weeks, staging

SQL = Path(__file__).parent / "sql"
PARAMETERS = ("shop_week", "first_day", "last_day")
CODE_VERSION = transform.code_version(
    SQL / "transactions.sql", *(Path(inspect.getfile(module)) for module in (raw_schema, raw_weeks, staging))
)


@dataclass(frozen=True)
class ExtractedWeek:
    """Files of one extracted week, and what was counted in its sources."""

    raw: raw_weeks.RawWeek
    transactions: Path
    quarantined: Path


def extract_week(raw: raw_weeks.RawWeek, engine: Engine, folder: Path) -> ExtractedWeek:
    """Type and judge the staged rows of a week."""
    transactions, quarantined = folder / "transactions.parquet", folder / "quarantined_transactions.parquet"
    engine.run(
        transform.load(SQL / "transactions.sql"),
        {"raw_rows": raw.rows, "unreadable_lines": raw.lines},
        # Judged rows go to a file, too: as a table in memory they would be the largest thing of the run.
        {
            "judged_rows": folder / "judged_rows.parquet",
            "transactions": transactions,
            "quarantined_transactions": quarantined,
        },
        {"shop_week": raw.week.number, "first_day": raw.week.first, "last_day": raw.week.last},
    )
    return ExtractedWeek(raw, transactions, quarantined)


def count_by_rule(engine: Engine, quarantined: Path) -> dict[str, int]:
    """Quarantined rows per rule."""
    rows = engine.rows(
        "SELECT rule, count(*) AS rows FROM quarantined GROUP BY 1 ORDER BY 1", {"quarantined": [quarantined]}
    )
    return {row["rule"]: row["rows"] for row in rows}
