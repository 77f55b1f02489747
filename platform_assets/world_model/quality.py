"""The checks of transactions and baskets: what each asks of the rows, and what it says.

Each returns an Outcome; which of them block is said with the assets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model.limits import Limits
from platform_assets.world_model.raw_weeks import RawWeek
from platform_assets.world_model.shop_calendar import ShopWeek

SHOWN = 10


def rows_reconcile(source_rows: int, kept: int, quarantined: int) -> Outcome:
    """Rows counted in the raw files = rows kept + rows quarantined."""
    reason = f"{source_rows} in the raw files, {kept} kept + {quarantined} quarantined"
    counts = {"source_rows": source_rows, "kept": kept, "quarantined": quarantined}
    return Outcome("rows_reconcile", source_rows == kept + quarantined, reason, counts)


def ranges(engine: Engine, transactions: Path, week: ShopWeek) -> Outcome:
    """Every row is of the week, its hour between 0 and 23, its quantity 1 or more, its spend a number.

    Spend of 0 or less is a return: kept, and counted.
    """
    found = engine.rows(
        "SELECT count(*) FILTER (WHERE (shop_week = p.number AND shop_date BETWEEN p.first AND p.last) IS NOT TRUE) AS outside_week, "
        "count(*) FILTER (WHERE (shop_hour BETWEEN 0 AND 23) IS NOT TRUE) AS hour, "
        "count(*) FILTER (WHERE (shop_weekday BETWEEN 1 AND 7) IS NOT TRUE) AS weekday, "
        "count(*) FILTER (WHERE (quantity >= 1) IS NOT TRUE) AS quantity, "
        "count(*) FILTER (WHERE (isfinite(spend)) IS NOT TRUE) AS spend, "
        "count(*) FILTER (WHERE prod_code IS NULL OR basket_id IS NULL OR store_code IS NULL) AS code, "
        "count(*) FILTER (WHERE spend <= 0) AS returns FROM transactions, parameters AS p",
        {"transactions": [transactions]},
        {"number": week.number, "first": week.first, "last": week.last},
    )[0]
    bad = {name: rows for name, rows in found.items() if rows and name != "returns"}
    reason = f"out of range: {bad}" if bad else f"every value in range; {found['returns']} returns"
    return Outcome("ranges", not bad, reason, found)


def unique_products(engine: Engine, transactions: Path) -> Outcome:
    """No basket has two rows of one product."""
    twice = engine.rows(
        f"SELECT basket_id, prod_code FROM transactions GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2 LIMIT {SHOWN}",
        {"transactions": [transactions]},
    )
    pairs = [f"{row['basket_id']} {row['prod_code']}" for row in twice]
    reason = f"more than one row: {', '.join(pairs)}" if pairs else "one row per basket and product"
    return Outcome("unique_products", not pairs, reason)


def row_count_band(rows: int, trailing: Sequence[int], limits: Limits) -> Outcome:
    """The week's rows against the median of the weeks before it. Only a warning: seasons are no fault of the data."""
    filled = [count for count in trailing if count][-limits.trailing_weeks :]
    if not rows or len(filled) < limits.least_weeks:
        return Outcome("row_count_band", True, f"{rows} rows, {len(filled)} filled weeks before: nothing to compare")
    middle = median(filled)
    low, high = middle / limits.row_count_factor, middle * limits.row_count_factor
    reason = f"{rows} rows, expected {low:.0f} to {high:.0f} by the {len(filled)} filled weeks before"
    return Outcome("row_count_band", low <= rows <= high, reason, {"rows": rows, "median": middle}, warning=True)


def week_present(raw: RawWeek) -> Outcome:
    """The raw files hold rows of the week. A missing one is a week of 0 rows: those after it keep their numbers."""
    week = raw.week
    reason = (
        f"{raw.source_rows} rows of SHOP_WEEK {week.number} in {', '.join(raw.files)}"
        if raw.source_rows
        else f"SHOP_WEEK {week.number} ({week.first} to {week.last}) is missing in the source: none of its {raw.files_seen} "
        "files has a row of it. Published with 0 rows; when its file arrives, materialise the week again"
    )
    return Outcome("week_present", raw.source_rows > 0, reason, {"shop_week": week.number}, warning=True)


def rows_placed(strays: Mapping[str, int]) -> Outcome:
    """No file of many weeks has rows that belong to no week of the calendar, and that no partition can therefore hold."""
    shown = ", ".join(f"{text!r} ({rows})" for text, rows in sorted(strays.items())[:SHOWN])
    reason = (
        f"{sum(strays.values())} rows of the raw files are in no week, by SHOP_WEEK: {shown}. Correct them, or add their weeks "
        "to time.csv"
        if any(strays.values())
        else "every row of the raw files is in a week of the calendar"
    )
    return Outcome("rows_placed", not any(strays.values()), reason, {"rows": sum(strays.values())}, warning=True)


def counts_reconcile(engine: Engine, baskets: Path, transactions: Path) -> Outcome:
    """Baskets, and the products, items and spend they sum up, are those of the transactions."""
    found = engine.rows(
        "SELECT b.*, t.* FROM (SELECT count(*) AS baskets, CAST(coalesce(sum(num_products), 0) AS BIGINT) AS products, "
        "CAST(coalesce(sum(num_items), 0) AS BIGINT) AS items, coalesce(sum(spend), 0) AS spend FROM baskets) AS b, "
        "(SELECT count(DISTINCT basket_id) AS baskets_in, count(*) AS products_in, CAST(coalesce(sum(quantity), 0) AS BIGINT) AS items_in, "
        "coalesce(sum(spend), 0) AS spend_in FROM transactions) AS t",
        {"baskets": [baskets], "transactions": [transactions]},
    )[0]
    same = all(found[name] == found[f"{name}_in"] for name in ("baskets", "products", "items"))
    # Spend is summed in another order on the two sides; a hundredth of a row's smallest price is no difference.
    passed = same and abs(found["spend"] - found["spend_in"]) <= 0.0001 * (1 + found["products"])
    reason = (
        "{baskets} baskets of {baskets_in}, {products} products of {products_in} rows, {items} items of {items_in}, "
        "spend {spend:.2f} of {spend_in:.2f}"
    ).format(**found)
    return Outcome("counts_reconcile", passed, reason, {name: float(value) for name, value in found.items()})


def no_basket_in_two_weeks(engine: Engine, baskets: Path, earlier: Mapping[str, Path]) -> Outcome:
    """No basket of the week is one of an earlier week; `earlier` are those whose ids may be the same."""
    # All of them at once, and one by one only to say which: a query a week would make a long calendar's cost quadratic.
    reused = {}
    if earlier and _shared_baskets(engine, baskets, list(earlier.values())):
        by_week = {week: _shared_baskets(engine, baskets, [path]) for week, path in earlier.items()}
        reused = {week: found for week, found in by_week.items() if found}
    reason = f"also in an earlier week: {reused}" if reused else "no basket is in an earlier week"
    return Outcome("no_basket_in_two_weeks", not reused, reason, {"weeks_compared": len(earlier)})


def _shared_baskets(engine: Engine, baskets: Path, others: Sequence[Path]) -> list[int]:
    sql = f"SELECT basket_id FROM baskets WHERE basket_id IN (SELECT basket_id FROM earlier) ORDER BY 1 LIMIT {SHOWN}"
    return [row["basket_id"] for row in engine.rows(sql, {"baskets": [baskets], "earlier": list(others)})]
