"""One week of baskets out of its transactions.

A week knows nothing of other weeks: what a customer did before a basket is counted when the samples of a split are built
(samples.py), over exactly the weeks that the split knows. So weeks can be filled in any order, and a week that is corrected
late changes its own baskets and no later week's.
"""

from __future__ import annotations

from pathlib import Path

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.world_model.extraction import SQL

CODE_VERSION = transform.code_version(SQL / "baskets.sql")


def build_week(engine: Engine, transactions: Path, folder: Path) -> Path:
    """The week's baskets, one row each, ordered by date, hour and id."""
    path = folder / "baskets.parquet"
    engine.run(transform.load(SQL / "baskets.sql"), {"transactions": [transactions]}, {"baskets": path})
    return path


def id_range(engine: Engine, baskets: Path) -> tuple[int, int] | None:
    """The smallest and the greatest basket id; None of a week without baskets."""
    found = engine.rows("SELECT min(basket_id) AS low, max(basket_id) AS high FROM baskets", {"baskets": [baskets]})[0]
    return None if found["low"] is None else (found["low"], found["high"])
