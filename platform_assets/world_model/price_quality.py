"""The checks of prices: rows, signs, and ranges against the weekly prices that they were made of.

Each returns an Outcome; which of them block is said with the asset.
"""

from __future__ import annotations

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model.prices import PriceFiles

SHOWN = 10


def one_row_per_product_and_week(engine: Engine, files: PriceFiles, weeks: int) -> Outcome:
    """Each product has one row in every week from its first to the last."""
    sql = (
        "SELECT prod_code FROM prices GROUP BY 1 HAVING count(*) <> count(DISTINCT week_index) OR max(week_index) <> $last "
        "OR count(*) <> max(week_index) - min(week_index) + 1 OR count(DISTINCT week) <> count(*) ORDER BY 1"
    ).replace("$last", str(weeks - 1))
    return _none(engine, files, "one_row_per_product_and_week", sql, "products with a week twice, or a gap")


def prices_positive(engine: Engine, files: PriceFiles) -> Outcome:
    """Every price is a positive number."""
    columns = ("actual", "prior", "base", "category_average")
    bad = " OR ".join(f"({name} > 0 AND isfinite({name})) IS NOT TRUE" for name in columns)
    sql = f"SELECT week || ' ' || prod_code FROM prices WHERE {bad} ORDER BY 1"
    return _none(engine, files, "prices_positive", sql, "rows with a price that is not positive")


def prices_within_range(engine: Engine, files: PriceFiles) -> Outcome:
    """A sold product costs what somebody paid that week; carried, prior and base prices lie in what was ever paid for it so far.

    Category averages lie between the lowest and the highest price of the week.
    """
    sql = (
        "WITH paid AS (SELECT week_index, prod_code, lowest / 100 AS lowest, highest / 100 AS highest FROM observed), "
        "ranged AS (SELECT p.*, o.lowest, o.highest, "
        "min(o.lowest) OVER so_far AS lowest_so_far, max(o.highest) OVER so_far AS highest_so_far, "
        "min(p.actual) OVER (PARTITION BY p.week_index) AS lowest_of_week, "
        "max(p.actual) OVER (PARTITION BY p.week_index) AS highest_of_week "
        "FROM prices AS p LEFT JOIN paid AS o ON o.week_index = p.week_index AND o.prod_code = p.prod_code "
        "WINDOW so_far AS (PARTITION BY p.prod_code ORDER BY p.week_index)) "
        "SELECT week || ' ' || prod_code FROM ranged WHERE NOT ((NOT sold OR actual BETWEEN lowest AND highest) "
        "AND least(actual, prior, base) >= lowest_so_far AND greatest(actual, prior, base) <= highest_so_far "
        "AND category_average BETWEEN lowest_of_week - 1e-9 AND highest_of_week + 1e-9) IS TRUE ORDER BY 1"
    )
    return _none(engine, files, "prices_within_range", sql, "rows with a price that was never paid")


def sales_priced(engine: Engine, files: PriceFiles) -> Outcome:
    """The rows marked as sold are the products with a price in that week, all of them and no other."""
    sql = (
        "SELECT coalesce(p.prod_code, o.prod_code) || ' in week ' || coalesce(p.week_index, o.week_index) "
        "FROM (SELECT * FROM prices WHERE sold) AS p FULL JOIN observed AS o "
        "ON o.week_index = p.week_index AND o.prod_code = p.prod_code "
        "WHERE p.prod_code IS NULL OR o.prod_code IS NULL ORDER BY 1"
    )
    return _none(engine, files, "sales_priced", sql, "sold without a price, or priced without a sale")


def _none(engine: Engine, files: PriceFiles, name: str, sql: str, what: str) -> Outcome:
    """Passes when the query finds nothing; else names the first it found."""
    found = engine.rows(
        f"SELECT * FROM ({sql}) AS found (example) LIMIT {SHOWN}",
        {"prices": [files.prices], "observed": [files.observed]},
    )
    examples = [row["example"] for row in found]
    return Outcome(name, not examples, f"{what}: {examples}" if examples else f"no {what}")
